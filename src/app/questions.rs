use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use crate::deploy::{Command, Question};
use crate::ssh::Secret;

/// Asks on the process's terminal, whatever its standard streams are. `None` without a terminal or an answer.
pub(super) fn ask(question: &Question) -> Option<Secret> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    let reader = terminal.try_clone().ok()?;
    write!(terminal, "murder: {}: ", question.prompt).ok()?;
    let answer = {
        let _silence = if question.echo { None } else { Some(Silence::on(&terminal).ok()?) };
        read_line(reader).ok()
    };
    if !question.echo {
        let _ = writeln!(terminal);
    }
    answer.filter(|line| !line.is_empty()).map(Secret::new)
}

/// Asks and tells the run the answer. Blocks until there is one.
pub(super) fn answer(question: &Question, commands: &mpsc::Sender<Command>) {
    let secret = ask(question);
    // A run that is over needs none.
    let _ = commands.blocking_send(Command::Answer { id: question.id, secret });
}

fn read_line(terminal: impl io::Read) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(terminal).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The terminal without echo, until it is dropped.
struct Silence<'a, F: AsFd> {
    terminal: &'a F,
    before: Termios,
}

impl<'a, F: AsFd> Silence<'a, F> {
    fn on(terminal: &'a F) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl<F: AsFd> Drop for Silence<'_, F> {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
