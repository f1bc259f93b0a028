//! The first administrator token reaches its owner: on the terminal, else in a file. Never in a log.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::domain::secret::SecretText;

/// Name of the file within the data folder.
const FILE: &str = "administrator.token";

/// Where the token went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandedOver {
    /// It was printed.
    Terminal,
    /// It stands in this file, mode 0600.
    File(PathBuf),
}

/// Prints the token when somebody watches, else writes it into the data folder for its owner alone.
/// `terminal` is where to print, when that is a terminal.
pub fn hand_over_administrator_token(
    token: &SecretText,
    data_dir: &Path,
    terminal: Option<&mut dyn Write>,
) -> io::Result<HandedOver> {
    if let Some(out) = terminal {
        writeln!(
            out,
            "\nThe administrator token, shown only now (its holder may do everything):\n\n    {}\n",
            token.expose()
        )?;
        out.flush()?;
        return Ok(HandedOver::Terminal);
    }
    let path = data_dir.join(FILE);
    let beside = data_dir.join(format!("{FILE}.new"));
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    writeln!(file, "{}", token.expose())?;
    file.sync_all()?;
    fs::rename(&beside, &path)?;
    Ok(HandedOver::File(path))
}
