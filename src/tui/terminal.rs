use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, Once, OnceLock};
use std::time::{Duration, Instant};

use crossterm::{QueueableCommand as _, cursor, event, terminal};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Position, Rect};

use super::app::App;
use super::notify::Signal;

/// Name of the thread that draws. A panic on another thread leaves the screen alone.
pub(super) const THREAD: &str = "murder-tui";
/// Pictures that may wait for the terminal. One is in its hands, none waits: a slow terminal gets newer ones, not more.
const WAITING: usize = 1;
/// How long leaving waits for a terminal that takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether the terminal is ours now.
static ENTERED: AtomicBool = AtomicBool::new(false);
/// The other end of the standard input that says nothing: when it closed, that would be an end to be read on and on.
static SPEAKER: OnceLock<io::PipeWriter> = OnceLock::new();
/// What threads other than ours panicked with while the terminal was ours.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Draws the app, and tells the terminal what else there is to tell.
pub(super) trait Screen {
    /// Draws one picture.
    fn draw(&mut self, app: &mut App) -> io::Result<()>;
    /// Whether the terminal has taken the last picture.
    fn is_ready(&self) -> bool;
    /// Sends a signal.
    fn signal(&mut self, signal: &Signal) -> io::Result<()>;
    /// Makes the next picture a whole one.
    fn clear(&mut self) -> io::Result<()>;
    /// Gives the terminal back, stops the process until it is continued, and takes the terminal again.
    fn suspend(&mut self) -> io::Result<()>;
    /// Takes the terminal again after somebody else had it.
    fn resume(&mut self) -> io::Result<()>;
    /// Turns away from a terminal that is gone.
    fn abandon(&mut self);
}

/// The only place where the terminal's modes are changed: raw mode, alternate screen, cursor, paste, mouse, title, task
/// bar. They are restored when it is dropped, and by the panic hook before a message is printed.
pub(super) struct TerminalGuard {
    terminal: Terminal<CrosstermBackend<Outlet>>,
    out: Outlet,
    mouse: bool,
    /// The terminal shows nothing of what it was sent before.
    wiped: bool,
}

impl TerminalGuard {
    /// Takes the terminal.
    pub(super) fn enter() -> io::Result<Self> {
        install_hook();
        let out = Outlet::start()?;
        let terminal = Terminal::new(CrosstermBackend::new(out.clone()))?;
        let mut guard = Self { terminal, out, mouse: false, wiped: true };
        guard.take()?;
        Ok(guard)
    }

    fn take(&mut self) -> io::Result<()> {
        terminal::enable_raw_mode()?;
        ENTERED.store(true, Ordering::SeqCst);
        let out = &mut self.out;
        out.queue(terminal::EnterAlternateScreen)?.queue(event::EnableBracketedPaste)?.queue(cursor::Hide)?;
        // The title is put away, to be put back by `restore`.
        out.write_all(b"\x1b[22;2t")?;
        if self.mouse {
            out.write_all(Signal::Mouse(true).bytes().as_bytes())?;
        }
        out.commit();
        Ok(())
    }
}

impl Screen for TerminalGuard {
    fn draw(&mut self, app: &mut App) -> io::Result<()> {
        if std::mem::take(&mut self.wiped) {
            app.canvas.lose();
        }
        self.out.queue(terminal::BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| app.draw(frame))?;
        self.out.queue(terminal::EndSynchronizedUpdate)?;
        self.out.commit();
        if self.out.broken.load(Ordering::Relaxed) { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    fn is_ready(&self) -> bool {
        self.out.is_idle()
    }

    fn signal(&mut self, signal: &Signal) -> io::Result<()> {
        if let Signal::Mouse(on) = signal {
            self.mouse = *on;
        }
        self.out.write_all(signal.bytes().as_bytes())?;
        self.out.commit();
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        // Not `Terminal::clear`: since ratatui 0.30 it asks the terminal where the cursor is, and the answer would have to
        // be taken from the keys.
        self.wiped = true;
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.out.wait();
        restore();
        // The whole group, or a parent like cargo would keep the terminal.
        rustix::process::kill_current_process_group(rustix::process::Signal::STOP)?;
        self.resume()
    }

    fn resume(&mut self) -> io::Result<()> {
        self.take()?;
        self.clear()
    }

    /// crossterm 0.29 reads a terminal that is gone on and on, on a thread that nobody can end: a busy processor for the
    /// rest of the run. It gets a standard input that never says a word.
    fn abandon(&mut self) {
        if let Ok((silent, speaker)) = io::pipe()
            && SPEAKER.set(speaker).is_ok()
        {
            let _ = rustix::stdio::dup2_stdin(&silent);
        }
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        self.out.wait();
        restore();
        let panics = PANICS.lock().map(|mut panics| std::mem::take(&mut *panics)).unwrap_or_default();
        for panic in panics {
            eprintln!("{panic}");
        }
    }
}

/// Gives the terminal back, once. Every step is tried: what one of them cannot do must not keep the others from it.
fn restore() {
    if !ENTERED.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut bytes = Vec::new();
    // A picture may have been cut short: end it, its colours too.
    let _ = bytes.queue(terminal::EndSynchronizedUpdate);
    bytes.extend_from_slice(b"\x1b[0m");
    bytes.extend_from_slice(Signal::Mouse(false).bytes().as_bytes());
    if shows_progress() {
        bytes.extend_from_slice(Signal::NoProgress.bytes().as_bytes());
    }
    bytes.extend_from_slice(b"\x1b[23;2t");
    let _ = bytes.queue(event::DisableBracketedPaste);
    let _ = bytes.queue(terminal::LeaveAlternateScreen);
    let _ = bytes.queue(cursor::Show);
    let mut out = io::stdout().lock();
    let _ = out.write_all(&bytes);
    let _ = out.flush();
    let _ = terminal::disable_raw_mode();
}

fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let ours = std::thread::current().name() == Some(THREAD);
            if ours || !ENTERED.load(Ordering::SeqCst) {
                restore();
                before(info);
            } else if let Ok(mut panics) = PANICS.lock() {
                panics.push(info.to_string());
            }
        }));
    });
}

/// Whether the terminal is known to show OSC 9;4 in its task bar. Others take OSC 9 for a message, so only these get it.
pub(super) fn shows_progress() -> bool {
    let var = |name| std::env::var(name).unwrap_or_default();
    if !var("TMUX").is_empty() {
        return false;
    }
    let program = var("TERM_PROGRAM");
    ["ghostty", "WezTerm", "mintty"].contains(&program.as_str())
        || !var("WT_SESSION").is_empty()
        || !var("KONSOLE_VERSION").is_empty()
        || var("ConEmuANSI") == "ON"
}

/// Writes to the terminal on a thread of its own, a picture at a time. A terminal that takes nothing for a while, as behind
/// a stuck SSH connection, so holds up pictures and not the run.
#[derive(Clone)]
pub(super) struct Outlet {
    buffer: Rc<RefCell<Vec<u8>>>,
    pictures: SyncSender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
}

impl Outlet {
    fn start() -> io::Result<Self> {
        let (pictures, queue) = sync_channel::<Vec<u8>>(WAITING);
        let waiting = Arc::new(AtomicUsize::new(0));
        let broken = Arc::new(AtomicBool::new(false));
        let (left, fault) = (Arc::clone(&waiting), Arc::clone(&broken));
        std::thread::Builder::new().name("murder-terminal".to_owned()).spawn(move || {
            for bytes in queue {
                let mut out = io::stdout().lock();
                if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
                    fault.store(true, Ordering::Relaxed);
                }
                left.fetch_sub(1, Ordering::Release);
            }
        })?;
        Ok(Self { buffer: Rc::default(), pictures, waiting, broken })
    }

    fn is_idle(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Hands over what was written since the last time. If the terminal is busy it stays, to go with the next.
    fn commit(&self) {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.is_empty() {
            return;
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if let Err(error) = self.pictures.try_send(std::mem::take(&mut *buffer)) {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            match error {
                std::sync::mpsc::TrySendError::Full(bytes) => *buffer = bytes,
                std::sync::mpsc::TrySendError::Disconnected(_) => self.broken.store(true, Ordering::Relaxed),
            }
        }
    }

    /// Waits until the terminal has taken all, or has taken nothing for too long.
    fn wait(&self) {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            self.commit();
            if self.is_idle() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Does nothing: ratatui flushes in the middle of what is one picture.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
