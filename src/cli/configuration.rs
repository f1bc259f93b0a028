//! `reload` and `config diff`: what a running server makes of a configuration, and what two files differ in.

use std::path::Path;
use std::process::ExitCode;

use super::client::Client;
use super::output::{Form, Output};
use super::{Failure, Source};
use crate::config::{self, Changes, Loaded, Takes};
use crate::edge::management::wire::{ConfigChange, ConfigChanges, OfferedConfig};

/// Something differs, and a reload takes it.
const DIFFERS: u8 = 3;
/// Something differs that takes a restart.
const NEEDS_RESTART: u8 = 4;

/// `reload`.
pub async fn reload(loaded: &Loaded, out: Output) -> Result<ExitCode, Failure> {
    let Some(mut client) = Client::running(&loaded.settings).await? else {
        return Err(Failure::Failed(format!(
            "no server runs: nothing answers at {}",
            loaded.settings.admin.socket.display()
        )));
    };
    let changes: ConfigChanges = client.post("/config/reload", &()).await?;
    match out.form() {
        Form::Json => out.json(&changes)?,
        Form::People if changes.changes.is_empty() => out.line("nothing changed")?,
        Form::People => {
            for change in &changes.changes {
                out.line(&format!("changed: {}", change.key))?;
            }
            out.line("the configuration is in force")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `config diff`: against a running server, else between two files.
pub async fn diff(
    source: &Source,
    loaded: &Loaded,
    file: Option<&Path>,
    out: Output,
) -> Result<ExitCode, Failure> {
    let changes = match (Client::running(&loaded.settings).await?, file) {
        (Some(mut client), file) => {
            let offered = file.map(offered).transpose()?;
            client.post("/config/diff", &offered).await?
        }
        (None, Some(file)) => {
            let mut other = source.clone();
            other.flags.config = Some(file.to_owned());
            let other = super::load_from(&other, out)?;
            wired(&Changes::between(loaded, &other))
        }
        (None, None) => {
            return Err(Failure::Usage(
                "no server runs to compare with: name a second file, as in \
                 `doorward --config now.yaml config diff next.yaml`"
                    .to_owned(),
            ));
        }
    };
    show(&changes, out)?;
    Ok(code(&changes))
}

fn offered(file: &Path) -> Result<OfferedConfig, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    Ok(OfferedConfig {
        name: file.display().to_string(),
        text,
    })
}

/// The differences as they are told.
fn wired(changes: &Changes) -> ConfigChanges {
    let one = |change: &config::Change| ConfigChange {
        key: change.key.clone(),
        old: change.old.clone(),
        new: change.new.clone(),
        takes: change.takes.as_str().to_owned(),
    };
    ConfigChanges {
        changes: changes.iter().map(one).collect(),
    }
}

fn show(changes: &ConfigChanges, out: Output) -> Result<(), Failure> {
    if out.form() == Form::Json {
        return Ok(out.json(changes)?);
    }
    if changes.changes.is_empty() {
        return Ok(out.line("nothing would change")?);
    }
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let row = |c: &ConfigChange| vec![c.key.clone(), shown(&c.old), shown(&c.new), c.takes.clone()];
    let rows = changes.changes.iter().map(row).collect();
    Ok(out.table(&["KEY", "OLD", "NEW", "TAKES"], rows)?)
}

fn code(changes: &ConfigChanges) -> ExitCode {
    let restart = |c: &ConfigChange| c.takes == Takes::Restart.as_str();
    match changes.changes.as_slice() {
        [] => ExitCode::SUCCESS,
        some if some.iter().any(restart) => ExitCode::from(NEEDS_RESTART),
        _ => ExitCode::from(DIFFERS),
    }
}
