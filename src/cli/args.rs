//! The command line's words. Parsing only: what they do is in the sibling files.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::args_life::{ChangeToken, Customer, Matching, Notes, Principal, Server, Tenant};

/// Authenticate every request to the API behind you: issue, verify, limit and revoke its credentials.
#[derive(Debug, Parser)]
#[command(
    name = "doorward",
    version,
    about,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", env = "DOORWARD_CONFIG")]
    pub config: Option<PathBuf>,
    /// The data folder (store, keys, admin socket); wins over the configuration.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Answer in JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve: proxy, management and status.
    Serve(Serve),
    /// Serve an example with an upstream of its own, in a temporary folder.
    Demo(Demo),
    /// Check the configuration and show what a start would do.
    Check(Without),
    /// Print the configuration in effect or its JSON Schema, or compare it with another.
    #[command(subcommand)]
    Config(Config),
    /// Let the running server read its configuration again, and wait until it is in force.
    Reload,
    /// Credentials of every kind.
    #[command(subcommand)]
    Token(Token),
    /// Devices and their tokens.
    #[command(subcommand)]
    Device(Device),
    /// Devices, users and service accounts.
    #[command(subcommand)]
    Principal(Principal),
    /// Tenants.
    #[command(subcommand)]
    Tenant(Tenant),
    /// Customers of tenants.
    #[command(subcommand)]
    Customer(Customer),
    /// This installation's keys.
    #[command(subcommand)]
    Key(Key),
    /// End everything of somebody, or of everybody.
    Revoke(Revoke),
    /// What administrators did.
    #[command(subcommand)]
    Audit(Audit),
    /// Take over credentials of another program or installation with their digests: nobody needs a new token.
    Import(super::args_import::Import),
    /// Ask the running server how it is, as a probe does: exit code 0 when it is well, else 1.
    Health(Health),
    /// Whoever answers management commands.
    #[command(subcommand)]
    Server(Server),
    /// Print the management API's OpenAPI document.
    Openapi,
    /// Print a script that completes commands in a shell.
    Completion {
        /// Which shell.
        shell: Shell,
    },
    /// Print the version.
    Version,
}

/// Shells that commands are completed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// `source <(doorward completion bash)`
    Bash,
    /// `source <(doorward completion zsh)`
    Zsh,
    /// `doorward completion fish | source`
    Fish,
}

/// A start without a file.
#[derive(Debug, Default, Args)]
pub struct Without {
    /// Where the app is, for a start without a configuration file.
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// Where to listen, for a start without a configuration file.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

/// `health`. Reads no configuration: a file that was broken since the start makes nobody unwell.
#[derive(Debug, Args)]
pub struct Health {
    /// Where its status door is.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "DOORWARD_STATUS_ADDRESS",
        default_value = "127.0.0.1:9902"
    )]
    pub address: std::net::SocketAddr,
    /// What is asked.
    #[arg(long, value_enum, default_value = "ready")]
    pub probe: Probe,
}

/// What can be asked of the status door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Probe {
    /// Whether the process is alive.
    Live,
    /// Whether it wants requests.
    Ready,
    /// Whether it has started.
    Startup,
}

/// `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub without: Without,
    /// Take over from the server that starts this process (it does so on SIGQUIT).
    #[arg(long, hide = true)]
    pub take_over: bool,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: std::net::SocketAddr,
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// The configuration in effect, every default filled in, without its secrets.
    Print(Without),
    /// The JSON Schema of the configuration file.
    Schema,
    /// What would change: in the running server by a reload, or if FILE were its configuration; between the
    /// configuration and FILE when none runs. Exit code 0: nothing, 3: something, 4: something that takes a restart.
    Diff {
        /// Another configuration file.
        file: Option<PathBuf>,
    },
}

/// Which sort of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// A prefixed token of a service account or user.
    ApiToken,
    /// An opaque token of a registered device.
    DeviceToken,
    /// A token that carries the device's identifier, sealed; nothing is stored.
    SealedDeviceToken,
    /// A signed access token; nothing is stored.
    Jwt,
    /// A user name with a password.
    Basic,
}

impl Kind {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiToken => "api_token",
            Self::DeviceToken => "device_token",
            Self::SealedDeviceToken => "sealed_device_token",
            Self::Jwt => "jwt",
            Self::Basic => "basic",
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a credential. Its secret is shown once.
    Create(Box<CreateToken>),
    /// List stored credentials.
    List(Box<ListTokens>),
    /// Show one stored credential, whom it belongs to and how it was used.
    Show {
        /// Its id.
        id: String,
    },
    /// End one credential.
    Revoke(RevokeToken),
    /// Change a credential; its secret stays.
    Change(Box<ChangeToken>),
    /// Switch a credential on again.
    Enable {
        /// Its id.
        id: String,
    },
    /// Switch a credential off.
    Disable {
        /// Its id.
        id: String,
    },
    /// Replace a credential: the old one is dead when the command returns.
    Regenerate {
        /// Its id.
        id: String,
    },
    /// Replace a credential, and let the old one live on for a while.
    Reroll {
        /// Its id.
        id: String,
        /// How long the old one lives on; never past its own end.
        #[arg(long, value_name = "SPAN", default_value = "24h")]
        overlap: String,
        /// When the new one ends; as the old one when left out.
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// Read a secret back, where the credential was made with --revealable.
    Reveal {
        /// Its id.
        id: String,
    },
    /// End a credential and mark it as deleted.
    Delete {
        /// Its id.
        id: String,
    },
    /// Forget credentials that were deleted long enough ago.
    Purge {
        /// Longer ago than this span.
        #[arg(long, value_name = "SPAN", default_value = "30d")]
        deleted_for: String,
    },
    /// End every living credential that the filters name.
    RevokeMatching(Box<Matching>),
}

/// `token create`.
#[derive(Debug, Args)]
pub struct CreateToken {
    /// Which sort of credential.
    #[arg(long, value_enum, default_value = "api_token")]
    pub kind: Kind,
    /// The service account it is for, by name; made when there is none.
    #[arg(long = "for", value_name = "NAME", group = "owner")]
    pub service: Option<String>,
    /// The principal it is for, by id.
    #[arg(long, value_name = "ID", group = "owner")]
    pub principal: Option<String>,
    /// The device it is for, by id or identifier.
    #[arg(long, value_name = "DEVICE", group = "owner")]
    pub device: Option<String>,
    /// Its form. API tokens: doorward, homechat, homechat_hex, thingsboard or a configured prefix; device
    /// tokens: uuid, alnum20, dwt; sealed device tokens: v1, v2.
    #[arg(long)]
    pub format: Option<String>,
    #[command(flatten)]
    pub limits: Limits,
    /// Its tenant (sealed device tokens of form v2).
    #[arg(long, value_name = "ID")]
    pub tenant: Option<String>,
    /// User name (basic).
    #[arg(long)]
    pub user: Option<String>,
    /// Read the password from standard input (basic); otherwise a random one is made.
    #[arg(long)]
    pub password_stdin: bool,
}

/// What a new credential shall be allowed.
#[derive(Debug, Default, Args)]
pub struct Limits {
    /// A name for people.
    #[arg(long)]
    pub name: Option<String>,
    /// Scopes, separated by commas or given several times.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    pub scopes: Vec<String>,
    /// What it may do at all: full, read or write.
    #[arg(long)]
    pub permission: Option<String>,
    /// Networks it may be used from, in CIDR form.
    #[arg(long = "network", value_name = "CIDR", value_delimiter = ',')]
    pub networks: Vec<String>,
    /// Refuse it over plain HTTP.
    #[arg(long)]
    pub https_only: bool,
    /// When it ends: never, a date such as 2027-01-31, or a span such as 30d, "3 hours", "1 month".
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<String>,
    #[command(flatten)]
    pub notes: Notes,
    /// Where it is used, such as production.
    #[arg(long, value_name = "LABEL")]
    pub environment: Option<String>,
    /// Keep a copy of the secret, sealed, that can be read back (device tokens).
    #[arg(long)]
    pub revealable: bool,
}

/// `token list`.
#[derive(Debug, Args)]
pub struct ListTokens {
    #[command(flatten)]
    pub matching: Matching,
    #[command(flatten)]
    pub page: Page,
}

/// Which page of a listing.
#[derive(Debug, Args)]
pub struct Page {
    /// At most this many rows.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// Go on after this id.
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
}

/// `token revoke`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RevokeToken {
    /// Its id.
    pub id: Option<String>,
    /// Read the credential itself from standard input, as it is presented. (On the command line every user of
    /// this machine could read it.)
    #[arg(long)]
    pub stdin: bool,
}

#[derive(Debug, Subcommand)]
pub enum Device {
    /// Register a device.
    Create {
        /// What the device calls itself, such as its serial number.
        identifier: String,
        /// A name for people.
        #[arg(long)]
        name: Option<String>,
        /// Its tenant.
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
        /// Its customer, within the tenant.
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
        /// The network (a service account's id) that may speak for it.
        #[arg(long, value_name = "ID", requires = "serial")]
        network: Option<String>,
        /// What its network calls it.
        #[arg(long, requires = "network")]
        serial: Option<String>,
        #[command(flatten)]
        notes: Notes,
    },
    /// List registered devices.
    List(Page),
    /// Show a device.
    Show {
        /// The device, by id or identifier.
        device: String,
    },
    /// Hand a device over to another tenant and customer. What it held is over.
    Transfer {
        /// The device, by id or identifier.
        device: String,
        /// Its new tenant; none when left out.
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
        /// Its new customer, within that tenant; none when left out.
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
    },
    /// Make another token for a device. It is shown once.
    Token {
        /// The device, by id or identifier.
        device: String,
        /// Its form: uuid, alnum20 or dwt.
        #[arg(long)]
        format: Option<String>,
        #[command(flatten)]
        limits: Limits,
    },
    /// Replace a device's token: the old one is dead when the command returns.
    Regenerate {
        /// The device, by id or identifier.
        device: String,
        /// Which token, by id; needed when the device has several.
        #[arg(long, value_name = "ID")]
        token: Option<String>,
        /// The new one's form: uuid, alnum20 or dwt.
        #[arg(long)]
        format: Option<String>,
    },
    /// End everything a device holds.
    Revoke {
        /// The device, by id or identifier; it need not be registered.
        device: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// List keys, without their material.
    List,
    /// Make a new current key. The one before still verifies; the one before that no longer does.
    Rotate {
        /// device_token, lookup, jwt or assertion.
        purpose: String,
        /// Rotate the lookup key although that ends credentials that were not used since its last rotation.
        #[arg(long)]
        anyway: bool,
    },
}

/// `revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    pub what: Whose,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// Whose credentials end.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Whose {
    /// Everybody's, administrators included.
    #[arg(long)]
    pub all: bool,
    /// A principal's, by id.
    #[arg(long, value_name = "ID")]
    pub principal: Option<String>,
    /// A device's, by id or identifier.
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// A tenant's, by id.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// List audit rows, newest first.
    List {
        /// At most this many rows.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only rows with a lower number.
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
    },
    /// Recompute the chain of digests: was a row changed, removed or added?
    Verify,
}
