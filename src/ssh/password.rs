use russh::client::{AuthResult, KeyboardInteractiveAuthResponse};

use super::ask::{Answer, NoAnswer};
use super::auth::{Login, LoginError, watch};

/// Rounds of keyboard-interactive; a password and a second factor take two or three.
const MOST_ROUNDS: usize = 10;

impl Login<'_> {
    /// An answer of the user's, and the dial's place given up meanwhile.
    async fn ask(&mut self, key: &str, prompt: &str, echo: bool) -> Result<Answer, LoginError> {
        (self.before_question)();
        let answer = self.questions.answer(key, prompt, echo).await;
        answer.map_err(|none| {
            self.state.tried.push(match none {
                NoAnswer::Declined => format!("{prompt}: not given"),
                NoAnswer::Wrong(place) => format!("{prompt}: what was given is wrong (last at {place})"),
            });
            LoginError::Refused(self.refused())
        })
    }

    fn password_question(&self) -> (String, String) {
        (format!("password {}", self.route.user), format!("password for {}", self.route.user))
    }

    pub(super) async fn password(&mut self) -> Result<bool, LoginError> {
        let (key, prompt) = self.password_question();
        let answer = self.ask(&key, &prompt, false).await?;
        let (user, secret) = (self.route.user.clone(), answer.secret.expose().to_owned());
        let result = watch(&self.state.asking, self.handle.authenticate_password(user, secret)).await?;
        let logged_in = self.judge(result.map_err(|error| error.to_string()), "password")?;
        if logged_in || self.state.partial {
            answer.right()
        } else {
            answer.wrong(&self.route.name)
        }
        Ok(logged_in)
    }

    pub(super) async fn interactive(&mut self) -> Result<bool, LoginError> {
        let user = self.route.user.clone();
        let start = self.handle.authenticate_keyboard_interactive_start(user, None::<String>);
        let mut response = watch(&self.state.asking, start).await?;
        let mut given: Vec<(String, Answer)> = Vec::new();
        for _ in 0..MOST_ROUNDS {
            let prompts = match response {
                Ok(KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. }) => prompts,
                Ok(KeyboardInteractiveAuthResponse::Success) => {
                    given.into_iter().for_each(|(_, answer)| answer.right());
                    return Ok(true);
                }
                Ok(KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success }) => {
                    let result = AuthResult::Failure { remaining_methods, partial_success };
                    let done = self.judge(Ok(result), "keyboard-interactive")?;
                    for (_, answer) in given {
                        if partial_success { answer.right() } else { answer.wrong(&self.route.name) }
                    }
                    return Ok(done);
                }
                Err(error) => return self.judge(Err(error.to_string()), "keyboard-interactive"),
            };
            // PAM sends an empty request before it says yes.
            let mut answers = Vec::new();
            for prompt in prompts {
                let (key, text) = self.interactive_question(&prompt.prompt, prompt.echo);
                if given.iter().any(|(asked, _)| *asked == key) {
                    self.state.tried.push(format!("{text}: the host asks for it again"));
                    return Ok(false);
                }
                let answer = self.ask(&key, &text, prompt.echo).await?;
                answers.push(answer.secret.expose().to_owned());
                given.push((key, answer));
            }
            let respond = self.handle.authenticate_keyboard_interactive_respond(answers);
            response = watch(&self.state.asking, respond).await?;
        }
        self.state.tried.push(format!("keyboard-interactive: no end after {MOST_ROUNDS} questions"));
        Ok(false)
    }

    /// A password is the same question however it is asked; other prompts are told apart by their words.
    fn interactive_question(&self, prompt: &str, echo: bool) -> (String, String) {
        let words = prompt.trim().trim_end_matches(':').trim();
        if !echo && words.to_lowercase().ends_with("password") {
            return self.password_question();
        }
        (format!("prompt {} {words}", self.route.user), format!("{words} (for {})", self.route.user))
    }
}
