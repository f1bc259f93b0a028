//! The shapes of error bodies. The shapes themselves are written in `edge::answers`.

/// The shapes of error bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// RFC 9457 `application/problem+json`.
    #[default]
    Problem,
    /// NestJS: `{"statusCode","message","error"}`.
    Nest,
    /// ThingsBoard: `{"status","message","errorCode","timestamp"}`.
    ThingsBoard,
    /// TagoIO: `{"status":false,"message"}`.
    TagoIo,
    /// HomeChat: `{"error","message"}`.
    HomeChat,
    /// What every SDK digests at once.
    Union,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 6] = [
        Self::Problem,
        Self::Nest,
        Self::ThingsBoard,
        Self::TagoIo,
        Self::HomeChat,
        Self::Union,
    ];

    /// The name in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Nest => "nest",
            Self::ThingsBoard => "thingsboard",
            Self::TagoIo => "tagoio",
            Self::HomeChat => "homechat",
            Self::Union => "union",
        }
    }
}
