use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// After so many answers that proved wrong, a question is not asked again until [`Questions::forget`].
const MOST_WRONG_ANSWERS: u32 = 3;

/// Something that must not be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; it goes nowhere but to the host or the key that it belongs to.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Whoever can put a question to the user. Each question comes once for all hosts.
pub trait Ask: Send + Sync {
    /// Asks; `None` if the user declines or cannot be asked. `echo` says whether the answer may be seen while typed.
    fn ask<'a>(&'a self, prompt: &'a str, echo: bool) -> BoxFuture<'a, Option<Secret>>;
}

/// Nobody to ask: every question is declined.
#[derive(Debug, Clone, Copy, Default)]
pub struct NobodyToAsk;

impl Ask for NobodyToAsk {
    fn ask<'a>(&'a self, _prompt: &'a str, _echo: bool) -> BoxFuture<'a, Option<Secret>> {
        Box::pin(async { None })
    }
}

/// The questions of a run and their answers. One host at a time tries an answer that is not proven yet, so that a wrong
/// password costs one login and not one on every host.
pub(super) struct Questions {
    ask: Arc<dyn Ask>,
    slots: Mutex<HashMap<String, Arc<AsyncMutex<Slot>>>>,
}

#[derive(Default)]
struct Slot {
    secret: Option<Secret>,
    proven: bool,
    declined: bool,
    wrong: u32,
    /// Where the last answer proved wrong.
    wrong_at: String,
}

/// An answer. Whoever gets one says whether it was right; what is dropped unsaid is tried by the next one.
pub(super) struct Answer {
    pub(super) secret: Secret,
    /// Held while the answer is not proven: others wait for the verdict.
    trial: Option<OwnedMutexGuard<Slot>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The user declined, or there is nobody to ask.
    Declined,
    /// Too many wrong answers; the last one at this place.
    Wrong(String),
}

impl Questions {
    pub(super) fn new(ask: Arc<dyn Ask>) -> Self {
        Self { ask, slots: Mutex::default() }
    }

    /// The answer to a question, asked now if it was not before. `key` names the question among all.
    pub(super) async fn answer(&self, key: &str, prompt: &str, echo: bool) -> Result<Answer, NoAnswer> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(key.to_owned()).or_default())
        };
        let mut slot = slot.lock_owned().await;
        if slot.proven
            && let Some(secret) = slot.secret.clone()
        {
            return Ok(Answer { secret, trial: None });
        }
        if slot.declined {
            return Err(NoAnswer::Declined);
        }
        if slot.wrong >= MOST_WRONG_ANSWERS {
            return Err(NoAnswer::Wrong(slot.wrong_at.clone()));
        }
        let secret = match slot.secret.clone() {
            Some(secret) => secret,
            None => {
                let prompt = if slot.wrong == 0 {
                    prompt.to_owned()
                } else {
                    format!("{prompt} (the last answer was wrong for {})", slot.wrong_at)
                };
                let Some(secret) = self.ask.ask(&prompt, echo).await else {
                    slot.declined = true;
                    return Err(NoAnswer::Declined);
                };
                slot.secret = Some(secret.clone());
                secret
            }
        };
        Ok(Answer { secret, trial: Some(slot) })
    }

    /// Forgets what was declined or answered wrongly, so that a retry by hand asks again.
    pub(super) fn forget(&self) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in slots.values() {
            if let Ok(mut slot) = slot.try_lock() {
                slot.declined = false;
                slot.wrong = 0;
            }
        }
    }
}

impl Answer {
    /// The answer was right: everybody gets it from now on.
    pub(super) fn right(self) {
        if let Some(mut slot) = self.trial {
            slot.proven = true;
        }
    }

    /// The answer was wrong at `place`: the next one asks again, and says so.
    pub(super) fn wrong(self, place: &str) {
        if let Some(mut slot) = self.trial {
            slot.secret = None;
            slot.wrong += 1;
            place.clone_into(&mut slot.wrong_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Scripted {
        answers: Mutex<Vec<Option<&'static str>>>,
        prompts: Mutex<Vec<String>>,
    }

    impl Ask for Scripted {
        fn ask<'a>(&'a self, prompt: &'a str, _echo: bool) -> BoxFuture<'a, Option<Secret>> {
            self.prompts.lock().unwrap().push(prompt.to_owned());
            let answer = self.answers.lock().unwrap().remove(0);
            Box::pin(async move {
                tokio::task::yield_now().await;
                answer.map(Secret::new)
            })
        }
    }

    fn scripted(answers: Vec<Option<&'static str>>) -> (Arc<Scripted>, Arc<Questions>) {
        let ask = Arc::new(Scripted { answers: Mutex::new(answers), prompts: Mutex::default() });
        (Arc::clone(&ask), Arc::new(Questions::new(ask)))
    }

    #[tokio::test]
    async fn a_question_is_asked_once_for_all_hosts() {
        let (ask, questions) = scripted(vec![Some("pw")]);
        let right = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (questions, right) = (Arc::clone(&questions), Arc::clone(&right));
                tokio::spawn(async move {
                    let answer = questions.answer("k", "password", false).await.unwrap();
                    if answer.secret.expose() == "pw" {
                        right.fetch_add(1, Ordering::Relaxed);
                    }
                    answer.right();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(right.load(Ordering::Relaxed), 50);
        assert_eq!(ask.prompts.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_wrong_answer_is_tried_on_one_host_and_asked_again_with_its_name() {
        let (ask, questions) = scripted(vec![Some("bad"), Some("good")]);
        questions.answer("k", "password", false).await.unwrap().wrong("web01");
        let answer = questions.answer("k", "password", false).await.unwrap();
        assert_eq!(answer.secret.expose(), "good");
        answer.right();
        assert!(ask.prompts.lock().unwrap()[1].contains("wrong for web01"));
    }

    #[tokio::test]
    async fn three_wrong_answers_end_the_questions_until_a_retry() {
        let (ask, questions) = scripted(vec![Some("a"), Some("b"), Some("c"), Some("d")]);
        for _ in 0..3 {
            questions.answer("k", "p", false).await.unwrap().wrong("web07");
        }
        assert_eq!(questions.answer("k", "p", false).await.err(), Some(NoAnswer::Wrong("web07".into())));
        questions.forget();
        assert!(questions.answer("k", "p", false).await.is_ok());
        assert_eq!(ask.prompts.lock().unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_declined_question_does_not_come_again_for_the_next_host() {
        let (ask, questions) = scripted(vec![None, Some("pw")]);
        for _ in 0..5 {
            assert_eq!(questions.answer("k", "p", false).await.err(), Some(NoAnswer::Declined));
        }
        assert_eq!(ask.prompts.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret");
    }
}
