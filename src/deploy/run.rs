mod packing;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::control::{HostId, LogLevel, LogSource};
use crate::exit;
use crate::payload::{PackError, Packed};
use crate::ssh::{AgentBinaries, Client, ClientOptions, Secret, SshError, Target};
use crate::swarm::limiter::{Direction, Limiter};
use crate::swarm::seeder::{OpenSwarm, Seeder, SeederEvent};
use crate::units::format_bytes;

use super::ask::{Asked, Asker};
use super::board::Board;
use super::command::Command;
use super::coordinator::{Coordinator, Order, Rulebook, Word};
use super::event::{Body, Event, LogLine, SeederProgress};
use super::held::was_told;
use super::plan::DeployPlan;
use super::requests::Requests;
use super::sweep::sweep;
use super::worker::{DOS, Do, Mouth, work};

/// Events between the run and its faces: some frames of a busy run of 10,000 hosts. A full channel makes the run wait,
/// not its workers' heartbeats.
const EVENTS: usize = 8192;

/// Commands of a person, who is slow.
const COMMANDS: usize = 64;

/// Words of workers that wait to be heard; progress does not count, it is latest-wins.
const WORDS: usize = 1024;

/// Warnings of SSH that wait to be logged.
const WARNINGS: usize = 64;

/// How often the run looks at the clock, takes progress in and shows what the seeder did.
const TICK: Duration = Duration::from_millis(250);

/// How often faces hear of the seeder.
const SEEDER_EVERY: Duration = Duration::from_secs(1);

/// How the packing of the payload ends.
type PackingEnd = oneshot::Receiver<Result<Packed, PackError>>;

/// A run that goes on in the background.
pub struct RunHandle {
    /// What happens, in order; ends after `Finished`.
    pub events: mpsc::Receiver<Event>,
    /// What the user wants.
    pub commands: mpsc::Sender<Command>,
    /// Ends when every trace of the run is gone from this machine.
    pub task: JoinHandle<()>,
}

/// What all workers use.
pub(super) struct Shared {
    pub(super) ssh: Client,
    pub(super) agents: AgentBinaries,
    pub(super) targets: Vec<Target>,
    seeder: OnceLock<Arc<Seeder>>,
}

impl Shared {
    /// The seeder, once the payload is packed.
    pub(super) fn seeder(&self) -> Option<Arc<Seeder>> {
        self.seeder.get().cloned()
    }
}

/// Starts a run on the current tokio runtime.
///
/// # Errors
/// If no threads for SSH can be started, or the folder of given agents cannot be read.
pub fn start(plan: DeployPlan) -> Result<RunHandle, SshError> {
    let (events, receiver) = mpsc::channel(EVENTS);
    let (commands, command_receiver) = mpsc::channel(COMMANDS);
    let run = Run::new(plan, events)?;
    let task = tokio::spawn(run.go(command_receiver));
    Ok(RunHandle { events: receiver, commands, task })
}

/// The coordinator's hands: it does what is ordered and hears what comes back.
struct Run {
    plan: DeployPlan,
    coordinator: Coordinator,
    shared: Arc<Shared>,
    asked: mpsc::Receiver<Asked>,
    answers: Vec<(u32, oneshot::Sender<Option<Secret>>)>,
    warnings: mpsc::Receiver<String>,
    events: mpsc::Sender<Event>,
    words: mpsc::Sender<(HostId, u32, Word)>,
    heard: mpsc::Receiver<(HostId, u32, Word)>,
    board: Board,
    workers: JoinSet<()>,
    dos: Vec<Option<(u32, mpsc::Sender<Do>)>>,
    requests: Option<Requests>,
    artifact: Option<Packed>,
    /// Of all that leaves this machine for the swarm.
    uplink: Arc<Limiter>,
    open: Option<OpenSwarm>,
    seeder_events: Option<mpsc::Receiver<SeederEvent>>,
    seeder_shown: SeederProgress,
    seeder_shown_at: Option<Instant>,
    clock: (u64, Instant),
    aborted: bool,
}

impl Run {
    fn new(plan: DeployPlan, events: mpsc::Sender<Event>) -> Result<Self, SshError> {
        let now = clock::now();
        let (asker, asked) = Asker::new();
        let (words, heard) = mpsc::channel(WORDS);
        let (warn, warnings) = mpsc::channel(WARNINGS);
        let options = ClientOptions {
            ask: Arc::new(asker),
            // One too many is one that says the same as the others.
            warn: Arc::new(move |warning| drop(warn.try_send(warning))),
            ..plan.ssh.clone()
        };
        let ssh = Client::new(options)?;
        let agents = AgentBinaries::from_environment().map_err(|error| {
            SshError::Internal(format!("cannot read the agents in MURDER_AGENTS: {error}"))
        })?;
        let targets = plan.hosts.iter().map(super::requests::target).collect();
        let book = Rulebook {
            run: plan.run.clone(),
            tag: plan.tag.clone(),
            names: plan.hosts.iter().map(|host| host.name.clone()).collect(),
            racks: plan.hosts.iter().map(|host| host.rack.clone()).collect(),
            attempts: plan.attempts,
            fanout: plan.fanout,
            stall_ms: plan.stall_timeout.as_millis() as u64,
            hook_ms: plan.longest_hook().as_millis() as u64,
            barrier: plan.barrier.clone(),
            linger: plan.linger,
            packs_first: plan.same_release.is_some(),
            ships: plan.ships(),
            errand: plan.errand,
            seed: now,
            rates: plan.hosts.iter().map(|host| host.rate).collect(),
            rate: plan.rate,
            seed_rate: plan.seed_rate,
        };
        Ok(Self {
            coordinator: Coordinator::new(book, now),
            shared: Arc::new(Shared { ssh, agents, targets, seeder: OnceLock::new() }),
            asked,
            warnings,
            answers: Vec::new(),
            events,
            words,
            heard,
            board: Board::default(),
            workers: JoinSet::new(),
            dos: plan.hosts.iter().map(|_| None).collect(),
            requests: None,
            artifact: None,
            uplink: Arc::new(Limiter::new(plan.seed_rate)),
            open: None,
            seeder_events: None,
            seeder_shown: SeederProgress::default(),
            seeder_shown_at: None,
            clock: (now, Instant::now()),
            aborted: false,
            plan,
        })
    }

    async fn go(mut self, mut commands: mpsc::Receiver<Command>) {
        self.emit(Body::Planned(Box::new(self.plan.shown()))).await;
        for warning in std::mem::take(&mut self.plan.warnings) {
            self.coordinator.log(None, LogLevel::Warn, LogSource::Murder, warning);
        }
        let (mut packing, mut packed) = self.pack();
        if !self.plan.ships() {
            self.requests = Some(Requests::of_no_payload());
            self.coordinator.packed(self.info_of_nothing());
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.coordinator.finished && !self.aborted {
            tokio::select! {
                Some((host, attempt, word)) = self.heard.recv() => {
                    self.coordinator.now = self.now();
                    self.coordinator.word(host, attempt, word);
                }
                Some(command) = commands.recv() => self.command(command),
                Some((done, total)) = packing.recv() => self.emit(Body::Packing { done, total }).await,
                Ok(outcome) = &mut packed, if self.artifact.is_none() && !packed.is_terminated() => {
                    self.packed(outcome).await;
                }
                Some(asked) = self.asked.recv() => self.ask(asked).await,
                Some(warning) = self.warnings.recv() => {
                    self.coordinator.log(None, LogLevel::Warn, LogSource::Murder, warning);
                }
                Some(event) = next(&mut self.seeder_events) => self.seeder_said(event),
                Some(_) = self.workers.join_next() => {}
                _ = tick.tick() => self.tick().await,
            }
            self.obey().await;
        }
        self.end().await;
    }

    fn now(&self) -> u64 {
        self.clock.0 + self.clock.1.elapsed().as_millis() as u64
    }

    async fn emit(&self, body: Body) {
        // Without a face the run goes on: it is recorded, and its end is what counts.
        let _ = self.events.send(Event { at: self.now(), body }).await;
    }

    fn command(&mut self, command: Command) {
        self.coordinator.now = self.now();
        match command {
            Command::Answer { id, secret } => {
                if let Some(at) = self.answers.iter().position(|(question, _)| *question == id) {
                    let (_, answer) = self.answers.swap_remove(at);
                    let _ = answer.send(secret);
                    self.coordinator.orders.push(Order::Emit(Body::QuestionDone { id }));
                }
            }
            Command::Abort => {
                self.aborted = true;
                self.coordinator.stopped_early = true;
            }
            command => self.coordinator.command(command),
        }
    }

    async fn ask(&mut self, asked: Asked) {
        self.answers.push((asked.question.id, asked.answer));
        self.emit(Body::Question(asked.question)).await;
    }

    fn seeder_said(&mut self, event: SeederEvent) {
        match event {
            SeederEvent::PayloadChanged(part) => {
                let payload = self.plan.payload.display();
                self.give_up(format!(
                    "the packed copy of {payload} changed while it was sent ({part}); nothing wrong was delivered: deploy again"
                ));
            }
            SeederEvent::Failed(reason) => self.give_up(format!("the seeder broke: {reason}; try again")),
        }
    }

    async fn tick(&mut self) {
        let now = self.now();
        self.coordinator.now = now;
        for (host, (attempt, progress)) in self.board.take() {
            if let (Some(seeder), Some(pieces)) = (self.shared.seeder.get(), &progress.pieces)
                && let Ok(field) = STANDARD.decode(pieces)
            {
                seeder.note_pieces(host, &field);
            }
            let report = crate::control::Report::Progress(Box::new(progress));
            self.coordinator.word(host, attempt, Word::Said(report));
        }
        if let Some(seeder) = self.shared.seeder.get() {
            let numbers = seeder.progress();
            self.coordinator.seeder_sent = numbers.sent;
            self.coordinator.see_seeder(numbers.rate);
            let progress = SeederProgress {
                sent: numbers.sent,
                rate: numbers.rate,
                feeds: numbers.feeds,
                copies: numbers.copies,
                may_leave: numbers.may_leave,
            };
            if progress != self.seeder_shown && self.seeder_due() {
                self.seeder_shown = progress.clone();
                self.emit(Body::Seeder(Box::new(progress))).await;
            }
        }
        if self.coordinator.barrier.is_held() && was_told(&self.plan.folder) {
            let words = "`murder activate` opens the barrier".to_owned();
            self.coordinator.log(None, LogLevel::Info, LogSource::Murder, words);
            self.coordinator.command(Command::Activate);
        }
        self.coordinator.tick(now);
    }

    /// Once a second, and never the same twice.
    fn seeder_due(&mut self) -> bool {
        let due = self.seeder_shown_at.is_none_or(|at| at.elapsed() >= SEEDER_EVERY);
        if due {
            self.seeder_shown_at = Some(Instant::now());
        }
        due
    }

    async fn obey(&mut self) {
        for order in self.coordinator.take_orders() {
            match order {
                Order::Emit(body) => self.emit(body).await,
                Order::Connect { host, attempt } => self.connect(host, attempt),
                Order::Sweep { host, attempt } => self.sweep(host, attempt),
                Order::ThrottleSeeder(rate) => self.uplink.set_direction(Direction::Up, rate),
                Order::Alone { host, alone } => {
                    if let Some(seeder) = self.shared.seeder.get() {
                        seeder.set_neighbours(host, !alone);
                    }
                }
                Order::Finish => {}
                order => self.order_agents(order),
            }
        }
    }

    fn connect(&mut self, host: HostId, attempt: u32) {
        let (mouth, orders) = self.hire(host, attempt);
        self.workers.spawn(work(Arc::clone(&self.shared), mouth, orders));
    }

    fn sweep(&mut self, host: HostId, attempt: u32) {
        let (mouth, orders) = self.hire(host, attempt);
        let begin = Requests::sweep(&self.plan, host);
        self.workers.spawn(sweep(Arc::clone(&self.shared), mouth, orders, begin));
    }

    /// What a new worker of a host speaks to and listens to.
    fn hire(&mut self, host: HostId, attempt: u32) -> (Mouth, mpsc::Receiver<Do>) {
        let (dos, orders) = mpsc::channel(DOS);
        self.dos[host.index()] = Some((attempt, dos));
        (Mouth { host, attempt, words: self.words.clone(), board: self.board.clone() }, orders)
    }

    fn order_agents(&mut self, order: Order) {
        if let Order::Throttle(rate) = order {
            // For hosts that come later too.
            self.plan.rate = rate;
        }
        let Some(requests) = &self.requests else {
            if let Order::Leave { host, keep_partial } = order {
                self.give(host, Do::Leave { keep_partial });
            }
            return;
        };
        if let Some((host, order)) = self.going_back(&order) {
            return self.give(host, order);
        }
        let running: Vec<HostId> =
            self.coordinator.ids().filter(|id| self.coordinator.hosts[id.index()].agent).collect();
        match requests.of(&self.plan, order, &running) {
            Some(orders) => orders.into_iter().for_each(|(host, order)| self.give(host, order)),
            None => self.coordinator.log(
                None,
                LogLevel::Error,
                LogSource::Murder,
                "an order was not understood".into(),
            ),
        }
    }

    /// What an order means for a host that goes back to its release before.
    fn going_back(&self, order: &Order) -> Option<(HostId, Do)> {
        let (Order::Begin(host) | Order::Switch(host)) = order else { return None };
        let tag = self.coordinator.hosts.get(host.index())?.back.as_deref()?;
        Some((*host, Requests::back(&self.plan, order, *host, tag)))
    }

    fn give(&self, host: HostId, order: Do) {
        if let Some(Some((_, dos))) = self.dos.get(host.index()) {
            // A worker that has ended needs no orders; one whose queue is full hangs, and its host is given up by the watch.
            let _ = dos.try_send(order);
        }
    }

    async fn end(mut self) {
        self.dos.clear();
        let deadline = if self.aborted { Duration::ZERO } else { Duration::from_secs(5) };
        let _ =
            tokio::time::timeout(deadline, async { while self.workers.join_next().await.is_some() {} }).await;
        self.workers.shutdown().await;
        if let Some(seeder) = self.shared.seeder.get() {
            self.coordinator.seeder_sent = seeder.progress().sent;
        }
        if let Some(open) = &self.open {
            let (level, source) = (LogLevel::Info, LogSource::Murder);
            let message =
                format!("the open swarm is closed: {} went to its clients", format_bytes(open.sent()));
            self.emit(Body::Log(LogLine { host: None, level, source, message })).await;
        }
        if self.aborted {
            self.coordinator.abandon();
        }
        let summary = self.coordinator.summary();
        if summary.exit == exit::OK
            && let Some(packed) = &self.artifact
        {
            // It lies in the cache: `clean` finds what cannot be removed now.
            let _ = packed.remove();
        }
        self.emit(Body::Finished(Box::new(summary))).await;
        if let Some(open) = self.open.take() {
            open.stop().await;
        }
        let seeder = Arc::into_inner(self.shared).and_then(|shared| shared.seeder.into_inner());
        if let Some(seeder) = seeder.and_then(Arc::into_inner) {
            seeder.stop().await;
        }
    }
}

async fn next<T>(receiver: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match receiver {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}
