//! Questions of a cell to the user: `input_request` out, `input_reply` back.
//!
//! One question at a time, as one cell runs at a time. The thread of the cell waits here; answers come
//! from the stdin socket, and an interrupt ends the wait. An answer nobody waits for is dropped: it
//! belongs to a question that was interrupted.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::session::Unanswered;

/// How often the wait looks whether it was stopped.
const LOOK: Duration = Duration::from_millis(20);

/// The question that waits, if one does.
#[derive(Default)]
pub struct Questions {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Waiting,
    Answered(Result<String, Unanswered>),
}

impl Questions {
    /// Sends a question and waits for its answer.
    ///
    /// # Errors
    /// The question did not reach anybody, or `stopped` says so.
    pub fn ask(
        &self,
        send: impl FnOnce(),
        stopped: &dyn Fn() -> bool,
    ) -> Result<String, Unanswered> {
        *self.lock() = State::Waiting;
        send();
        let mut state = self.lock();
        loop {
            if let State::Answered(answer) = std::mem::take(&mut *state) {
                return answer;
            }
            if stopped() {
                return Err(Unanswered::Interrupted);
            }
            *state = State::Waiting;
            let woken = self.news.wait_timeout(state, LOOK);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gives the waiting question its answer.
    pub fn answer(&self, answer: Result<String, Unanswered>) {
        let mut state = self.lock();
        if matches!(*state, State::Waiting) {
            *state = State::Answered(answer);
            self.news.notify_all();
        }
    }

    /// A panic elsewhere leaves the state whole: every change is one assignment.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reaches_its_question_and_no_later_one() {
        let questions = Questions::default();
        questions.answer(Ok("too early".to_owned()));
        let answered = questions.ask(|| questions.answer(Ok("yes".to_owned())), &|| false);
        assert_eq!(answered, Ok("yes".to_owned()));
        questions.answer(Ok("too late".to_owned()));
        assert_eq!(questions.ask(|| {}, &|| true), Err(Unanswered::Interrupted));
    }

    #[test]
    fn a_question_that_reaches_nobody_fails() {
        let questions = Questions::default();
        let nobody = Unanswered::Nobody("gone".to_owned());
        let answered = questions.ask(|| questions.answer(Err(nobody.clone())), &|| false);
        assert_eq!(answered, Err(nobody));
    }
}
