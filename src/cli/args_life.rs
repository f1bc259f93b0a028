//! Words of the commands that change what is there: credentials, principals, tenants, customers.

use clap::{Args, Subcommand, ValueEnum};

use super::args::{Kind, Page};

/// What people write on a thing.
#[derive(Debug, Default, Args)]
pub struct Notes {
    /// A sentence or two.
    #[arg(long)]
    pub description: Option<String>,
    /// Facts for other programs, as a JSON object.
    #[arg(long, value_name = "JSON")]
    pub metadata: Option<String>,
    /// Words to find it by, separated by commas or given several times.
    #[arg(long = "tag", value_name = "WORD", value_delimiter = ',')]
    pub tags: Option<Vec<String>>,
}

/// Whether a thing is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// For which version a change is made.
#[derive(Debug, Default, Args)]
pub struct Version {
    /// Only if it has this version still; whatever its version when left out.
    #[arg(long, value_name = "NUMBER")]
    pub if_version: Option<u64>,
}

/// `token change`.
#[derive(Debug, Args)]
pub struct ChangeToken {
    /// Its id.
    pub id: String,
    /// A name for people.
    #[arg(long)]
    pub name: Option<String>,
    #[command(flatten)]
    pub notes: Notes,
    /// Where it is used, such as production; empty: nowhere in particular.
    #[arg(long, value_name = "LABEL")]
    pub environment: Option<String>,
    /// Scopes; replaces all of them.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    pub scopes: Option<Vec<String>>,
    /// What it may do at all: full, read or write.
    #[arg(long)]
    pub permission: Option<String>,
    /// Networks it may be used from, in CIDR form; replaces all of them.
    #[arg(long = "network", value_name = "CIDR", value_delimiter = ',')]
    pub networks: Option<Vec<String>>,
    /// Whether it is refused over plain HTTP.
    #[arg(long, value_enum)]
    pub https_only: Option<Switch>,
    /// When it ends: never, a date such as 2027-01-31, or a span such as 30d.
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<String>,
    #[command(flatten)]
    pub version: Version,
}

/// Which credentials are meant: those that every given filter names.
#[derive(Debug, Default, Args)]
pub struct Matching {
    /// Only this kind.
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// Only this principal's.
    #[arg(long, value_name = "ID")]
    pub principal: Option<String>,
    /// Only this tenant's.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<String>,
    /// Only this customer's.
    #[arg(long, value_name = "ID")]
    pub customer: Option<String>,
    /// Only those in this state: active, expiring, disabled, expired, revoked, deleted.
    #[arg(long)]
    pub state: Option<String>,
    /// Only those that bear this tag.
    #[arg(long, value_name = "WORD")]
    pub tag: Option<String>,
    /// Only those with this label.
    #[arg(long, value_name = "LABEL")]
    pub environment: Option<String>,
    /// Only those whose public part begins so.
    #[arg(long)]
    pub prefix: Option<String>,
    /// Only those whose name begins so.
    #[arg(long)]
    pub name: Option<String>,
    /// Only those that end within this span, such as 30d.
    #[arg(long, value_name = "SPAN")]
    pub expires_within: Option<String>,
    /// Only those that were made, and last used, longer ago than this span.
    #[arg(long, value_name = "SPAN")]
    pub unused_for: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Principal {
    /// Make a user or service account.
    Create {
        /// Its login or account name.
        external_id: String,
        /// user or service.
        #[arg(long, default_value = "service")]
        kind: String,
        /// A name for people.
        #[arg(long)]
        name: Option<String>,
        /// Roles, separated by commas or given several times.
        #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
        roles: Vec<String>,
        /// Its tenant.
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
        /// Its customer, within the tenant.
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
        #[command(flatten)]
        notes: Notes,
    },
    /// List devices, users and service accounts.
    List {
        /// Only this kind: device, user or service.
        #[arg(long)]
        kind: Option<String>,
        /// Only this tenant's.
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one.
    Show {
        /// Its id.
        id: String,
    },
    /// Change one.
    Change {
        /// Its id.
        id: String,
        /// A name for people.
        #[arg(long)]
        name: Option<String>,
        /// Roles; replaces all of them.
        #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
        roles: Option<Vec<String>>,
        #[command(flatten)]
        notes: Notes,
        #[command(flatten)]
        version: Version,
    },
    /// Switch one on.
    Enable {
        /// Its id.
        id: String,
    },
    /// Switch one off. What it holds that has no row ends for good.
    Disable {
        /// Its id.
        id: String,
    },
    /// Delete one and everything it holds.
    Delete {
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// Make a tenant.
    Create {
        /// A name for people.
        name: String,
        /// Its id; a random one when left out.
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        notes: Notes,
    },
    /// List tenants.
    List(Page),
    /// Show a tenant.
    Show {
        /// Its id.
        id: String,
    },
    /// Change a tenant, or switch it on or off.
    Change(ChangeParty),
    /// Delete a tenant that has nothing any more.
    Delete {
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Customer {
    /// Make a customer of a tenant.
    Create {
        /// A name for people.
        name: String,
        /// Its tenant.
        #[arg(long, value_name = "ID")]
        tenant: String,
        /// Its id; a random one when left out.
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        notes: Notes,
    },
    /// List customers.
    List {
        /// Only this tenant's.
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show a customer.
    Show {
        /// Its id.
        id: String,
    },
    /// Change a customer, or switch it on or off.
    Change(ChangeParty),
    /// Delete a customer to which nobody is assigned any more.
    Delete {
        /// Its id.
        id: String,
    },
}

/// `tenant change`, `customer change`.
#[derive(Debug, Args)]
pub struct ChangeParty {
    /// Its id.
    pub id: String,
    /// A name for people.
    #[arg(long)]
    pub name: Option<String>,
    /// Whether its principals may come in.
    #[arg(long, value_enum)]
    pub switch: Option<Switch>,
    #[command(flatten)]
    pub notes: Notes,
    #[command(flatten)]
    pub version: Version,
}

#[derive(Debug, Subcommand)]
pub enum Server {
    /// The version of whoever answers: the running server, or this program.
    Version,
    /// Whether its store answers.
    Health,
}
