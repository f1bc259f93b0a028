//! Reloading as the management door offers it: what came of it, in the door's words.

use async_trait::async_trait;

use super::reload::{Reloaded, Reloads};
use crate::config::{Change, Changes};
use crate::edge::management::wire::{ConfigChange, ConfigChanges, OfferedConfig};
use crate::edge::management::{Configuration, Declined};

#[async_trait]
impl Configuration for Reloads {
    async fn reload(&self) -> Result<ConfigChanges, Declined> {
        match Reloads::reload(self).await.ok_or(Declined::NotHere)? {
            Reloaded::Applied(changes) => Ok(told(&changes)),
            Reloaded::Unchanged => Ok(told(&Changes::default())),
            Reloaded::Problems(problems) => Err(Declined::Problems(problems.to_string())),
            Reloaded::NeedsRestart(fixed) => Err(Declined::NeedsRestart(restart(&fixed))),
            Reloaded::Failed(error) => Err(Declined::Failed(error)),
        }
    }

    async fn compare(&self, offered: Option<OfferedConfig>) -> Result<ConfigChanges, Declined> {
        let compared = Reloads::compare(self, offered).await;
        match compared.ok_or(Declined::NotHere)? {
            Ok(changes) => Ok(told(&changes)),
            Err(problems) => Err(Declined::Problems(problems.to_string())),
        }
    }
}

fn restart(fixed: &[Change]) -> String {
    let keys: Vec<&str> = fixed.iter().map(|c| c.key.as_str()).collect();
    format!(
        "nothing was changed: a running process cannot change {}; restart, or hand over to a new process",
        keys.join(", ")
    )
}

fn told(changes: &Changes) -> ConfigChanges {
    let one = |change: &Change| ConfigChange {
        key: change.key.clone(),
        old: change.old.clone(),
        new: change.new.clone(),
        takes: change.takes.as_str().to_owned(),
    };
    ConfigChanges {
        changes: changes.iter().map(one).collect(),
    }
}
