//! A terminal of our own in which `murder` runs as for a person: it sees the screen and types.

use std::fs;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal};
use vt100::{MouseProtocolMode, Parser, Screen};

use super::LONG;
use super::operator::Operator;

/// Lines that may scroll away.
const SCROLLBACK: usize = 1000;

/// A terminal with a `murder` in it.
pub(crate) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Arc<Mutex<Box<dyn Write + Send>>>,
    parser: Arc<Mutex<Parser>>,
    reader: Option<JoinHandle<()>>,
    modes_before: String,
}

impl Terminal {
    /// Runs `murder` with these arguments in a terminal of this size.
    pub(crate) fn run(operator: &Operator, arguments: &[&str], columns: u16, rows: u16) -> Self {
        Self::run_with(operator, arguments, columns, rows, &[])
    }

    /// The same with more variables in the environment.
    pub(crate) fn run_with(
        operator: &Operator,
        arguments: &[&str],
        columns: u16,
        rows: u16,
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_murder"));
        command.args(arguments);
        command.env_clear();
        for (name, value) in operator.environment() {
            command.env(name, value);
        }
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        variables.iter().for_each(|(name, value)| command.env(name, value));
        command.cwd(operator.path(""));
        Self::of(command, columns, rows)
    }

    fn of(command: CommandBuilder, columns: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let modes_before = modes(pair.master.as_ref());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let parser = Arc::new(Mutex::new(Parser::new(nonzero(rows), nonzero(columns), SCROLLBACK)));
        let keys = Arc::new(Mutex::new(pair.master.take_writer().unwrap()));
        let reader = pair.master.try_clone_reader().unwrap();
        let reader = {
            let (parser, keys) = (Arc::clone(&parser), Arc::clone(&keys));
            thread::spawn(move || show(reader, &parser, &keys))
        };
        Self { child, master: pair.master, keys, parser, reader: Some(reader), modes_before }
    }

    /// Types keys. Enter is `\r`, Escape `\x1b`.
    pub(crate) fn types(&self, keys: &str) {
        self.keys.lock().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Sends `murder` a signal.
    pub(crate) fn signals(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// Whether `murder` is stopped, as by a shell's job control.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid().as_raw_nonzero())).unwrap();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.process_id().unwrap() as i32).unwrap()
    }

    /// Places of the screen that have a colour of their own.
    pub(crate) fn colored(&self) -> usize {
        let parser = self.parser.lock().unwrap();
        let (rows, columns) = parser.screen().size();
        let cells = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        let plain = vt100::Color::Default;
        let colored = |(row, column): &(u16, u16)| {
            let cell = parser.screen().cell(*row, *column);
            cell.is_some_and(|cell| cell.fgcolor() != plain || cell.bgcolor() != plain)
        };
        cells.filter(colored).count()
    }

    /// What is on the screen now.
    pub(crate) fn screen(&self) -> String {
        self.parser.lock().unwrap().screen().contents()
    }

    /// Waits until the screen holds something and answers the screen.
    pub(crate) fn sees(&mut self, what: &str, mut holds: impl FnMut(&str) -> bool) -> String {
        let end = Instant::now() + LONG;
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                // What it wrote last may still be on its way.
                thread::sleep(Duration::from_millis(200));
                assert!(holds(&self.screen()), "murder ended ({status:?}) before {what}:\n{}", self.screen());
            }
            assert!(Instant::now() < end, "{what}: not within {LONG:?}:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for words on the screen.
    pub(crate) fn reads(&mut self, words: &str) -> String {
        self.sees(words, |screen| screen.contains(words))
    }

    /// Changes the size of the window.
    pub(crate) fn resizes(&self, columns: u16, rows: u16) {
        self.parser.lock().unwrap().set_size(nonzero(rows), nonzero(columns));
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ends(mut self) -> Ended {
        let end = Instant::now() + LONG;
        let code = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status.exit_code(),
                None => assert!(Instant::now() < end, "murder does not end:\n{}", self.screen()),
            }
            thread::sleep(Duration::from_millis(20));
        };
        let modes = modes(self.master.as_ref());
        self.reader.take().unwrap().join().unwrap();
        let mut parser = self.parser.lock().unwrap();
        let insane = insane(parser.screen(), &self.modes_before, &modes);
        let columns = parser.screen().size().1;
        // All that scrolled away comes back into view.
        parser.set_size(nonzero(SCROLLBACK as u16), columns);
        Ended { code, text: parser.screen().contents(), insane }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a `murder` left in its terminal.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code.
    pub(crate) code: u32,
    /// The screen and all that scrolled away.
    pub(crate) text: String,
    /// What it did not put back.
    pub(crate) insane: Vec<&'static str>,
}

fn show(mut reader: Box<dyn Read + Send>, parser: &Mutex<Parser>, keys: &Mutex<Box<dyn Write + Send>>) {
    let mut buffer = [0; 4096];
    // On Linux reading fails when the last program has closed the terminal.
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        let data = &buffer[..count];
        parser.lock().unwrap().process(data);
        for (question, answer) in [(&b"\x1b[6n"[..], &b"\x1b[1;1R"[..]), (b"\x1b[c", b"\x1b[?62;22c")] {
            if data.windows(question.len()).any(|window| window == question) {
                let _ = keys.lock().unwrap().write_all(answer);
            }
        }
    }
}

fn modes(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios())
}

fn insane(screen: &Screen, before: &str, after: &str) -> Vec<&'static str> {
    let checks = [
        (before != after, "the line's modes (raw, echo)"),
        (screen.alternate_screen(), "the alternate screen"),
        (screen.hide_cursor(), "the cursor"),
        (screen.bracketed_paste(), "bracketed paste"),
        (screen.application_cursor(), "the cursor keys"),
        (screen.application_keypad(), "the keypad"),
        (screen.mouse_protocol_mode() != MouseProtocolMode::None, "the mouse"),
        (screen.bold() || screen.inverse() || screen.fgcolor() != vt100::Color::Default, "colours"),
    ];
    checks.into_iter().filter_map(|(wrong, what)| wrong.then_some(what)).collect()
}

fn nonzero(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

mod tests {
    use super::*;

    fn shell(script: &str) -> Terminal {
        let mut command = CommandBuilder::new("/bin/sh");
        command.args(["-c", script]);
        Terminal::of(command, 80, 24)
    }

    #[test]
    fn a_program_that_does_not_put_its_terminal_back_is_found_out() {
        let mut terminal =
            shell("stty raw -echo; printf '\\033[?1049h\\033[?25l\\033[?2004h\\033[?1002hhere'; head -c 1");
        terminal.reads("here");
        terminal.types("x");
        let ended = terminal.ends();
        assert_eq!(ended.code, 0);
        for what in ["raw", "alternate screen", "cursor", "bracketed paste", "mouse"] {
            assert!(ended.insane.iter().any(|found| found.contains(what)), "{what}: {:?}", ended.insane);
        }
    }

    #[test]
    fn a_program_that_does_is_sane_and_its_last_words_are_read_even_if_they_scrolled_away() {
        let script = "saved=$(stty -g); stty raw -echo; printf '\\033[?1049h\\033[?25lhere'; head -c 1 >/dev/null; \
                      printf '\\033[?25h\\033[?1049l'; stty $saved; echo first; seq 100; exit 7";
        let mut terminal = shell(script);
        terminal.reads("here");
        terminal.types("x");
        let ended = terminal.ends();
        assert_eq!((ended.code, &ended.insane), (7, &Vec::new()), "{}", ended.text);
        assert!(ended.text.contains("first") && ended.text.contains("100"), "{}", ended.text);
    }
}
