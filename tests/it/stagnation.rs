//! The quick form of `fieldtune bench stagnation`: a healthy run is left alone, faults get their names.

use crate::runs::succeed;
use serde_json::Value;

#[test]
fn injected_faults_get_their_names() {
    let faults = ["rate-x0.001", "never-warms-up", "decays-at-once", "dead-stage"];
    let said = succeed(
        &"bench stagnation --healthy 1 --seeds 1 --images 64 --epochs 4 --threads 1 --json --diagnose-only --faults"
            .split(' ')
            .chain([faults.join(",").as_str()])
            .collect::<Vec<_>>(),
    );
    let rows: Vec<Value> = said.lines().map(|l| serde_json::from_str(l).expect("a row is JSON")).collect();
    assert_eq!(rows.len(), 1 + faults.len(), "{said}");
    for row in &rows {
        let healthy = row["fault"] == "none";
        assert_eq!(row["diagnosis"].is_null(), healthy, "{row}");
        assert!(healthy || row["right"] == true, "{row}");
    }
}
