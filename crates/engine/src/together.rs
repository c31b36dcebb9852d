//! Questions asked together: while one request is under way whoever comes waits, and the next request carries all of
//! them. A lone question waits for nothing but what runs before it; under load a hundred cost little more than one.

use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::error::EngineError;

/// Questions of one kind to one who answers many at once. Cheap to clone.
#[derive(Debug)]
pub(crate) struct Together<Q, A> {
    queue: Arc<Mutex<Queue<Q, A>>>,
}

#[derive(Debug)]
struct Queue<Q, A> {
    waiting: Vec<Waiting<Q, A>>,
    /// Whether a task asks; it goes on until nobody waits.
    asking: bool,
}

type Waiting<Q, A> = (Q, oneshot::Sender<Result<A, Arc<EngineError>>>);

impl<Q, A> Default for Together<Q, A> {
    fn default() -> Self {
        Self { queue: Arc::new(Mutex::new(Queue { waiting: Vec::new(), asking: false })) }
    }
}

impl<Q, A> Clone for Together<Q, A> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue) }
    }
}

impl<Q: Send + 'static, A: Send + 'static> Together<Q, A> {
    /// Asks a question, with up to `at_once` in one request. `request` answers questions in their order; whichever caller's
    /// request is made, it is the same one. It is made in a task of its own, so that a caller that goes away takes
    /// nobody else's answer along.
    ///
    /// # Errors
    /// The request's, for everybody whose question was in it.
    pub(crate) async fn ask<F, Answers>(
        &self,
        question: Q,
        at_once: usize,
        request: F,
    ) -> Result<A, EngineError>
    where
        F: Fn(Vec<Q>) -> Answers + Send + 'static,
        Answers: Future<Output = Result<Vec<A>, EngineError>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let begin = {
            let mut queue = self.queue.lock().expect("no panic inside");
            queue.waiting.push((question, answer));
            !std::mem::replace(&mut queue.asking, true)
        };
        if begin {
            tokio::spawn(self.clone().ask_until_nobody_waits(at_once, request));
        }
        answered.await.map_err(|_| EngineError::Stopping)?.map_err(EngineError::Together)
    }

    async fn ask_until_nobody_waits<F, Answers>(self, at_once: usize, request: F)
    where
        F: Fn(Vec<Q>) -> Answers,
        Answers: Future<Output = Result<Vec<A>, EngineError>> + Send + 'static,
    {
        loop {
            // Whoever can run now may have a question for this request: claims come and are answered in bursts.
            tokio::task::yield_now().await;
            let group: Vec<Waiting<Q, A>> = {
                let mut queue = self.queue.lock().expect("no panic inside");
                let count = queue.waiting.len().min(at_once);
                if count == 0 {
                    queue.asking = false;
                    return;
                }
                queue.waiting.drain(..count).collect()
            };
            let (questions, waiting): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            // In a task of its own: if it panics, those who wait are told, and the next are asked for.
            match tokio::spawn(request(questions)).await {
                Ok(Ok(answers)) => waiting.into_iter().zip(answers).for_each(|(waiting, answer)| {
                    // Whoever went away needs no answer.
                    let _ = waiting.send(Ok(answer));
                }),
                Ok(Err(error)) => {
                    let error = Arc::new(error);
                    for waiting in waiting {
                        let _ = waiting.send(Err(Arc::clone(&error)));
                    }
                }
                Err(panic) => tracing::error!(%panic, "a request for many panicked"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn who_comes_during_a_request_is_in_the_next_one_with_all_others() {
        let (together, requests) = (Together::default(), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(Semaphore::new(0));
        let ask = |n: usize| {
            let (together, requests, gate) = (together.clone(), Arc::clone(&requests), Arc::clone(&gate));
            tokio::spawn(async move {
                let request = move |questions: Vec<usize>| {
                    let gate = Arc::clone(&gate);
                    requests.fetch_add(1, Ordering::SeqCst);
                    async move {
                        gate.acquire().await.expect("open").forget();
                        Ok(questions.iter().map(|n| n * 2).collect())
                    }
                };
                together.ask(n, 10, request).await
            })
        };
        let first = ask(0);
        while requests.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (1..=25).map(&ask).collect();
        while together.queue.lock().expect("no panic").waiting.len() < 25 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(100);
        assert_eq!(first.await.expect("runs").expect("answered"), 0);
        for (n, other) in (1..).zip(others) {
            assert_eq!(other.await.expect("runs").expect("answered"), n * 2);
        }
        assert_eq!(requests.load(Ordering::SeqCst), 4, "one alone, then 10, 10 and 5");
    }

    #[tokio::test]
    async fn a_failure_or_a_panic_is_told_to_those_it_concerns_and_the_next_are_asked_for() {
        let together: Together<u8, u8> = Together::default();
        let request = |questions: Vec<u8>| async move {
            match questions[0] {
                0 => Err(EngineError::Config("no answer".into())),
                1 => panic!("on purpose"),
                _ => Ok(questions),
            }
        };
        assert!(matches!(together.ask(0, 9, request).await, Err(EngineError::Together(_))));
        assert!(matches!(together.ask(1, 9, request).await, Err(EngineError::Stopping)));
        assert_eq!(together.ask(2, 9, request).await.expect("answered"), 2);
    }
}
