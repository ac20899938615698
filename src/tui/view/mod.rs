//! What is seen: each file draws one part of the screen from the fleet's state and the user's place in it, nothing else.

mod canvas;
mod confirm;
mod detail;
mod failures;
mod footer;
mod frame;
mod grid;
mod groups;
mod header;
mod help;
mod hosts;
mod layout;
mod log;
mod palette;
mod pen;
mod strip;
mod swarm;
mod tabs;
mod tiny;

pub(super) use canvas::Canvas;
pub(super) use frame::{Scene, Target, draw, is_due, paint, prepare, target};
pub(super) use grid::{Plan as GridPlan, neighbour};
