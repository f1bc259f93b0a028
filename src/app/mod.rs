//! Composition: settings become running rooms, and the doors in front of them. The only room that knows
//! every other one but the command line; nothing is decided here.

mod convert;
mod demo;
mod doors;
mod echo;
mod endpoints;
mod gauges;
mod hand_over;
mod kinds;
mod live;
mod logs;
mod reload;
mod reload_door;
mod rooms;
mod serve;
mod side_doors;
mod tool;

pub use demo::demo;
pub use kinds::Kinds;
pub use reload::{Reloaded, Reloads, Source};
pub use rooms::Rooms;
pub use serve::{Process, Start, serve};
pub use tool::Tool;
