//! A generated set written to disk, read back as any Pascal VOC data set, packed and loaded.

use fieldtune::data::{
    DataSet, EpochPlan, Format, Loader, LoaderOptions, Pack, PackOptions, SceneOptions, Severity, check, scene,
    write_pack, write_voc,
};

#[test]
fn scenes_written_to_disk_come_back_through_reader_pack_and_loader() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = SceneOptions { images: 12, size: 96, val_share: 0.25, ..SceneOptions::default() };
    write_voc(dir.path(), &options).expect("the set is written");

    let dataset = DataSet::open(dir.path()).expect("it is a data set");
    assert_eq!(dataset.format, Format::Voc);
    assert_eq!(dataset.classes, options.class_names(), "labels.txt sets the order");
    let report = check(&dataset, &Default::default());
    assert!(report.findings.iter().all(|f| f.severity != Severity::Error), "{}", report.render_table());

    let file = dir.path().join("scenes.pack");
    write_pack(&dataset, &file, &PackOptions::default(), &mut |_, _| {}).expect("it packs");
    let split = Pack::open(&file).expect("it opens").split("train").expect("it has a training split");
    assert_eq!(split.len(), 9);
    let loader = Loader::new(
        move |i| split.record(i),
        LoaderOptions { size: 96.into(), micro_batch: 4, threads: 2, queue: 1, augment: None },
    );
    let batches: Vec<_> =
        loader.epoch(EpochPlan::in_order(9), 0).collect::<Result<_, _>>().expect("every record is readable");
    assert_eq!(batches.iter().map(|b| b.indices.len()).collect::<Vec<_>>(), [4, 4, 1]);
    for (i, objects) in batches.iter().flat_map(|b| &b.objects).enumerate() {
        let made = scene(options.seed_of(i), &options).objects;
        assert_eq!(objects.len(), made.len());
        for (got, want) in objects.iter().zip(&made) {
            assert_eq!(got.class, want.class);
            assert!(got.bbox.iou(&want.bbox) > 0.9999, "scene {i}: {:?} for {:?}", got.bbox, want.bbox);
        }
    }
}
