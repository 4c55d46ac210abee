//! The costs of a simulated fleet with other numbers of nodes: bytes through the server, hours until it is done.

/// Speeds of links and boards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Megabits a second of one node, each way.
    pub node_mbit: f64,
    /// Megabits a second of the server, each way, shared by all nodes of a round.
    pub server_mbit: f64,
    /// Times longer that a board takes to train than this machine did.
    pub slower: f64,
}

/// A fleet of some size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanRow {
    pub nodes: usize,
    /// Nodes of each round.
    pub per_round: usize,
    /// Megabytes that a node that is part of every round sends and receives in all.
    pub node_mb: f64,
    /// Gigabytes through the server in all.
    pub server_gb: f64,
    /// Until the last round is done.
    pub hours: f64,
}

/// Sizes of fleets that are planned for.
const SIZES: [usize; 5] = [10, 100, 1000, 10_000, 100_000];

/// Fleets of 10 to 100,000 nodes, each of which trains as the simulated ones did, `seconds` a round. `share` of the nodes
/// take part in a round; `[down, up]` are a node's bytes a round.
///
/// The server's way out and way in are used one after the other, for all nodes begin a round together.
pub fn plan(rounds: u64, share: f64, [down, up]: [f64; 2], seconds: f64, link: &Link) -> Vec<PlanRow> {
    let row = |nodes: usize| {
        let per_round = ((share * nodes as f64).round() as usize).clamp(1, nodes);
        let travel = |bytes: f64| {
            let alone = bytes * 8.0 / (link.node_mbit * 1e6);
            let together = per_round as f64 * bytes * 8.0 / (link.server_mbit * 1e6);
            alone.max(together)
        };
        let round_s = travel(down) + seconds * link.slower + travel(up);
        let rounds = rounds as f64;
        PlanRow {
            nodes,
            per_round,
            node_mb: rounds * (down + up) / 1e6,
            server_gb: rounds * per_round as f64 * (down + up) / 1e9,
            hours: rounds * round_s / 3600.0,
        }
    };
    SIZES.map(row).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_fleets_wait_for_boards_and_large_ones_for_the_server() {
        let link = Link { node_mbit: 8.0, server_mbit: 800.0, slower: 10.0 };
        // A node takes 20 s down, 1 s up and 100 s to train; the server 0.2 and 0.01 s for each.
        let rows = plan(36, 1.0, [20e6, 1e6], 10.0, &link);
        assert_eq!(rows.iter().map(|r| r.nodes).collect::<Vec<_>>(), SIZES);
        assert!((rows[0].hours - 36.0 * 121.0 / 3600.0).abs() < 1e-9);
        assert!((rows[2].hours - 36.0 * (200.0 + 100.0 + 10.0) / 3600.0).abs() < 1e-9);
        assert!((rows[2].server_gb - 36.0 * 21.0).abs() < 1e-9 && (rows[2].node_mb - 756.0).abs() < 1e-9);
        let tenth = plan(36, 0.1, [20e6, 1e6], 10.0, &link);
        assert_eq!((tenth[0].per_round, tenth[4].per_round), (1, 10_000));
    }
}
