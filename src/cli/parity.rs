//! Everything the management door can do has a command, and every command that asks it for something stands in its
//! table: one list, compared with clap's own tree.

use std::collections::BTreeSet;

use clap::CommandFactory;

use super::args::Cli;
use crate::edge::management::operations::OPERATIONS;

/// Commands that do something without the management door.
const OWN: &[&str] = &[
    "serve",
    "demo",
    "check",
    "config print",
    "config schema",
    "health",
    // A file of a million rows is read where it lies, and written to the store in batches.
    "import",
    "openapi",
    "completion",
    "version",
];

fn leaves(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
    let mut below = command.get_subcommands().peekable();
    if below.peek().is_none() {
        found.insert(path.to_owned());
    }
    for one in below {
        let path = format!("{path} {}", one.get_name());
        leaves(one, path.trim_start(), found);
    }
}

#[test]
fn every_operation_has_a_command_and_the_other_way_round() {
    let mut commands = BTreeSet::new();
    leaves(&Cli::command(), "", &mut commands);
    let of_the_door = OPERATIONS.iter().flat_map(|operation| {
        assert!(
            !operation.commands.is_empty(),
            "no command does {} {}",
            operation.method,
            operation.path
        );
        operation.commands.iter().copied()
    });
    let listed: BTreeSet<String> = of_the_door
        .chain(OWN.iter().copied())
        .map(str::to_owned)
        .collect();
    let missing: Vec<_> = listed.difference(&commands).collect();
    assert!(missing.is_empty(), "listed, but no commands: {missing:?}");
    let unlisted: Vec<_> = commands.difference(&listed).collect();
    assert!(
        unlisted.is_empty(),
        "commands that no operation and no list names: {unlisted:?}"
    );
}
