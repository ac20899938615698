//! What is seen: each file draws one part of the screen from the fleet's state and the user's place in it, nothing else.

mod confirm;
mod detail;
mod footer;
mod frame;
mod header;
mod help;
mod hosts;
mod layout;
mod pen;
mod strip;
mod tabs;
mod tiny;

pub(super) use frame::{Scene, Target, draw, prepare, target};
