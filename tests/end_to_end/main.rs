//! The whole product as users run it: the real binary, real SSH, real agents, real files.
#![cfg(feature = "operator")]

#[cfg(test)]
mod demo;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod embed;
#[cfg(test)]
mod errands;
#[cfg(test)]
mod exit_codes;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod history;
#[cfg(test)]
mod openssh;
#[cfg(test)]
mod output;
#[cfg(test)]
mod secrets;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod switching;
#[cfg(test)]
mod tui;
