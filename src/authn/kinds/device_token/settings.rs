//! Resolved settings of device tokens.

/// In which form new device tokens are made. Any form is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IssueForm {
    /// UUID version 4 text, as TagoIO's.
    #[default]
    Uuid,
    /// 20 letters and digits, as ThingsBoard's.
    Alphanumeric,
    /// `dwt_` and 32 letters and digits, which secret scanners recognize.
    Prefixed,
}

impl IssueForm {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Uuid, Self::Alphanumeric, Self::Prefixed];

    /// The name in configuration and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Alphanumeric => "alphanumeric",
            Self::Prefixed => "prefixed",
        }
    }

    /// The form of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == text)
    }
}
