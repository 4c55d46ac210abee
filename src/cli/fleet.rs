//! `fieldtune fleet`: boards that learn together.

use super::{fleet_join, fleet_simulate};
use anyhow::Result;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct FleetArguments {
    #[command(subcommand)]
    command: FleetCommand,
}

#[derive(Debug, Subcommand)]
enum FleetCommand {
    /// Make this board a node of a Flower federation
    Join(Box<fleet_join::JoinArguments>),
    /// Train a fleet on one machine, node by node, to plan it before it is bought
    Simulate(Box<fleet_simulate::SimulateArguments>),
}

pub fn run(arguments: FleetArguments) -> Result<u8> {
    match arguments.command {
        FleetCommand::Join(a) => fleet_join::run(*a),
        FleetCommand::Simulate(a) => fleet_simulate::run(*a),
    }
}
