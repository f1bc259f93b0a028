//! The command line: parse, load the configuration, do one thing, say how it went.
//!
//! Management commands are requests to the management door, over its socket when a server runs, else in
//! this process; they return when what they changed is durable. Exit codes: 0 done, 1 failed, 2 wrong
//! usage or configuration; `config diff` also has 3 and 4, for something that differs. Serving itself is composed in `app`.

mod args;
mod args_import;
mod args_life;
mod bulk;
mod client;
mod commands;
mod configuration;
mod demo;
mod health;
mod lifecycle;
mod output;
#[cfg(test)]
mod parity;
mod parties;
mod serve;
mod show;

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use self::args::{Cli, Command, Common, Config, Shell, Without};
use self::client::Client;
use self::output::{Form, Output};
use crate::app::{self, Source};
use crate::config::{self, Environment, Flags, Loaded};
use crate::domain::clock::Clock;
use crate::runtime::lines::Lines;
use crate::telemetry::Metrics;
use crate::telemetry::logging::{self, LogFormat, LogLevel};

/// Log lines of a command that may wait for a slow terminal.
const LOG_QUEUE_BYTES: usize = 64 * 1024;

/// Why a command did not do what it should.
#[derive(Debug)]
pub enum Failure {
    /// It was asked for in a way that cannot be: exit code 2.
    Usage(String),
    /// It could not be done: exit code 1.
    Failed(String),
}

impl Failure {
    fn failed(error: impl std::fmt::Display) -> Self {
        // The alternate form also tells causes, where there are any.
        Self::Failed(format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs a command line.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors of this kind too, with exit code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let form = if cli.common.json { Form::Json } else { Form::People };
    let out = Output::new(form);
    match dispatch(cli, &arguments, out) {
        Ok(code) => code,
        Err(Failure::Usage(text)) => {
            out.fault(&text);
            ExitCode::from(2)
        }
        Err(Failure::Failed(text)) => {
            out.fault(&text);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli, arguments: &[OsString], out: Output) -> Result<ExitCode, Failure> {
    let common = cli.common;
    match cli.command {
        Command::Serve(_) | Command::Demo(_) if common.json => Err(Failure::Usage(
            "--json is for commands that answer; log lines take their form from `log.format`".to_owned(),
        )),
        Command::Serve(wanted) => {
            let source = source(&common, &wanted.without);
            let loaded = load_from(&source, out)?;
            let start = serve::start(&wanted, arguments)?;
            app::serve(loaded, source, start).map_err(Failure::failed)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(_) if common.config.is_some() || common.data_dir.is_some() => Err(Failure::Usage(
            "demo works in a temporary folder with a configuration of its own: leave out --config and --data-dir"
                .to_owned(),
        )),
        Command::Demo(wanted) => {
            demo::run(wanted.listen, out)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check(without) => {
            let loaded = load(&common, &without, out)?;
            match out.form() {
                Form::Json => out.json(&serde_json::json!({"problems": []}))?,
                Form::People => out.text(&config::summary(&loaded.settings, Clock::System.now().wall))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Config(Config::Print(without)) => {
            let loaded = load(&common, &without, out)?;
            match out.form() {
                Form::Json => out.json(&loaded.effective)?,
                Form::People => out.text(&config::yaml(&loaded.effective))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Config(Config::Schema) => {
            out.json(&config::json_schema())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Health(wanted) => health::run(&wanted, out),
        Command::Config(Config::Diff { file }) => {
            let source = source_for_tools(&common);
            let loaded = load_from(&source, out)?;
            let comparing = configuration::diff(&source, &loaded, file.as_deref(), out);
            block_on(comparing)
        }
        Command::Reload => {
            let loaded = load_for_tools(&common, out)?;
            block_on(configuration::reload(&loaded, out))
        }
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            match out.form() {
                Form::Json => out.json(&serde_json::json!({ "version": version }))?,
                Form::People => out.line(&format!("doorward {version}"))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Openapi => {
            out.json(&crate::edge::management::document())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Completion { shell } => {
            out.text(&completion(shell))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Import(wanted) => {
            let loaded = load_for_tools(&common, out)?;
            let log = warnings_to_stderr()?;
            block_on(bulk::import(&loaded.settings, wanted, out))?;
            log.flush(Duration::from_secs(1));
            Ok(ExitCode::SUCCESS)
        }
        Command::Token(_)
        | Command::Device(_)
        | Command::Principal(_)
        | Command::Tenant(_)
        | Command::Customer(_)
        | Command::Server(_)
        | Command::Key(_)
        | Command::Revoke(_)
        | Command::Audit(_) => {
            if let Command::Revoke(wanted) = &cli.command {
                commands::confirm(wanted, out)?;
            }
            let loaded = load_for_tools(&common, out)?;
            let log = warnings_to_stderr()?;
            block_on(manage(cli.command, &loaded, out))?;
            log.flush(Duration::from_secs(1));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A script that completes our commands.
fn completion(shell: Shell) -> String {
    use clap_complete::aot;
    let shell = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    let (mut command, mut script) = (Cli::command(), Vec::new());
    aot::generate(shell, &mut command, "doorward", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build()?.block_on(work)
}

async fn manage(command: Command, loaded: &Loaded, out: Output) -> Result<(), Failure> {
    let mut client = Client::connect(&loaded.settings).await?;
    let done = match command {
        Command::Token(command) => commands::token(&mut client, out, command).await,
        Command::Device(command) => commands::device(&mut client, out, command).await,
        Command::Principal(command) => parties::principal(&mut client, out, command).await,
        Command::Tenant(command) => parties::tenant(&mut client, out, command).await,
        Command::Customer(command) => parties::customer(&mut client, out, command).await,
        Command::Server(command) => parties::server(&mut client, out, command).await,
        Command::Key(command) => commands::key(&mut client, out, command).await,
        Command::Revoke(wanted) => commands::revoke(&mut client, out, wanted).await,
        Command::Audit(command) => commands::audit(&mut client, out, command).await,
        Command::Serve(_)
        | Command::Demo(_)
        | Command::Check(_)
        | Command::Config(_)
        | Command::Health(_)
        | Command::Import(_)
        | Command::Reload
        | Command::Openapi
        | Command::Completion { .. }
        | Command::Version => Ok(()),
    };
    client.close().await;
    done
}

/// Warnings of the rooms, such as of a data folder that others may enter, reach whoever typed the command.
fn warnings_to_stderr() -> Result<Lines, Failure> {
    let dropped = Metrics::new().map_err(Failure::failed)?.log_lines_dropped;
    let log = Lines::start(std::io::stderr(), LOG_QUEUE_BYTES, dropped)?;
    logging::install(LogFormat::Text, LogLevel::Warn, Arc::new(log.clone())).map_err(Failure::failed)?;
    Ok(log)
}

/// Loads the configuration, or prints every problem it has.
fn load(common: &Common, without: &Without, out: Output) -> Result<Loaded, Failure> {
    load_from(&source(common, without), out)
}

/// Where the configuration comes from.
fn source(common: &Common, without: &Without) -> Source {
    Source {
        flags: Flags {
            config: common.config.clone(),
            upstream: without.upstream.clone(),
            listen: without.listen.clone(),
            data_dir: common.data_dir.clone(),
        },
        environment: Environment::of_process(),
    }
}

fn load_from(source: &Source, out: Output) -> Result<Loaded, Failure> {
    config::load(&source.flags, &source.environment).map_err(|problems| {
        if out.form() == Form::Json {
            let _ = out.json(&problems.to_json());
        }
        Failure::Usage(problems.to_string())
    })
}

/// The configuration for commands that forward nothing: without a file, the defaults that `serve --upstream`
/// has. Where the app is does not matter to them.
fn source_for_tools(common: &Common) -> Source {
    let without = Without {
        upstream: common
            .config
            .is_none()
            .then(|| "http://127.0.0.1:9000".to_owned()),
        listen: None,
    };
    source(common, &without)
}

fn load_for_tools(common: &Common, out: Output) -> Result<Loaded, Failure> {
    load_from(&source_for_tools(common), out)
}
