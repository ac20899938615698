use std::sync::atomic::{AtomicU32, Ordering};

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::ssh::{Ask, Secret};

use super::event::Question;

/// Questions at once: a passphrase, a password and sudo, with room.
const QUESTIONS: usize = 16;

/// A question on its way to the user.
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) answer: oneshot::Sender<Option<Secret>>,
}

/// Hands the questions of SSH to the run, which shows them to its faces.
pub(super) struct Asker {
    next: AtomicU32,
    questions: mpsc::Sender<Asked>,
}

impl Asker {
    pub(super) fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (questions, asked) = mpsc::channel(QUESTIONS);
        (Self { next: AtomicU32::new(1), questions }, asked)
    }
}

impl Ask for Asker {
    fn ask<'a>(&'a self, prompt: &'a str, echo: bool) -> BoxFuture<'a, Option<Secret>> {
        let (answer, answered) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let question = Question { id, prompt: prompt.to_owned(), echo };
        let questions = self.questions.clone();
        Box::pin(async move {
            questions.send(Asked { question, answer }).await.ok()?;
            answered.await.ok().flatten()
        })
    }
}
