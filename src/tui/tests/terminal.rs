use std::io::Read as _;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use crate::tui::notify::Signal;
use crate::tui::terminal::{Screen as _, THREAD, TerminalGuard};

/// Which end a child of [`ends`] comes to; without it the child's test does nothing.
const END: &str = "MURDER_TEST_TERMINAL_END";

/// Runs this test binary in a terminal of its own, to take that and come to an end; returns all that it wrote.
fn ends(how: &str) -> String {
    let pty = native_pty_system().openpty(PtySize { rows: 24, cols: 80, ..PtySize::default() }).unwrap();
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "tui::tests::terminal::takes_the_terminal_and_ends",
        "--nocapture",
        "--test-threads=1",
    ]);
    command.env(END, how);
    command.env("RUST_BACKTRACE", "0");
    command.env_remove("TMUX");
    command.env("TERM_PROGRAM", "ghostty");
    let mut child = pty.slave.spawn_command(command).unwrap();
    drop(pty.slave);
    let mut reader = pty.master.try_clone_reader().unwrap();
    let mut bytes = Vec::new();
    // Linux ends a terminal without a process with an error.
    let _ = reader.read_to_end(&mut bytes);
    let _ = child.wait();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn takes_the_terminal_and_ends() {
    let Ok(how) = std::env::var(END) else { return };
    let ours = std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
        let mut guard = TerminalGuard::enter().unwrap();
        guard.signal(&Signal::Mouse(true)).unwrap();
        assert!(crossterm::terminal::is_raw_mode_enabled().unwrap());
        match how.as_str() {
            "panic" => panic!("on purpose"),
            "elsewhere" => drop(std::thread::spawn(|| panic!("on purpose")).join()),
            _ => {}
        }
        drop(guard);
        assert!(!crossterm::terminal::is_raw_mode_enabled().unwrap());
        println!("left");
    });
    let _ = ours.unwrap().join();
}

#[test]
fn leaving_puts_back_everything_that_was_taken() {
    let written = ends("drop");
    for (taken, back) in [
        ("\u{1b}[?1049h", "\u{1b}[?1049l"),
        ("\u{1b}[?2004h", "\u{1b}[?2004l"),
        ("\u{1b}[?25l", "\u{1b}[?25h"),
        ("\u{1b}[?1000h", "\u{1b}[?1000l"),
        ("\u{1b}[?1006h", "\u{1b}[?1006l"),
        ("\u{1b}[22;2t", "\u{1b}[23;2t"),
        ("\u{1b}[?1049h", "\u{1b}]9;4;0;0\u{7}"),
        ("\u{1b}[?1049h", "\u{1b}[?2026l"),
    ] {
        let (first, last) = (written.find(taken), written.rfind(back));
        assert!(first.is_some() && last > first, "{taken:?} {back:?} in {written:?}");
    }
    assert!(written.rfind("left") > written.rfind("\u{1b}[?1049l"), "{written:?}");
}

#[test]
fn a_panic_of_the_screen_is_read_on_the_screen_that_was_there_before() {
    let written = ends("panic");
    let (back, told) = (written.find("\u{1b}[?1049l"), written.find("on purpose"));
    assert!(back.is_some() && told > back, "{written:?}");
    assert_eq!(written.matches("\u{1b}[?1049l").count(), 1, "once is enough: {written:?}");
}

#[test]
fn a_panic_elsewhere_is_told_after_the_screen_is_left() {
    let written = ends("elsewhere");
    let (back, told) = (written.find("\u{1b}[?1049l"), written.find("on purpose"));
    assert!(back.is_some() && told > back, "{written:?}");
    assert!(written.contains("left"), "the screen went on: {written:?}");
}
