use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_smithy_types::body::SdkBody;
use futures_util::future::BoxFuture;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    call::{Caller, Delivery, Plan, Route, SentMark, Trace},
    model::{Model, Target},
    money::WorstCase,
    operation::draw::{Draw, Image},
    upstream::{Response, SendError, ServiceOperation, Transport},
};

/// Counts the bodies of the requests in flight.
#[derive(Default)]
struct Counting {
    bytes: AtomicUsize,
    most_bytes: AtomicUsize,
    /// The addresses of all bodies.
    bodies: Mutex<BTreeSet<usize>>,
    tails: Mutex<Vec<u8>>,
}

impl Transport for Counting {
    fn send<'a>(
        &'a self,
        request: Request,
        _: &'a Target,
        _: Option<&'a Caller>,
        _: &'a SentMark,
    ) -> BoxFuture<'a, Result<Response, SendError>> {
        Box::pin(async move {
            let len = request.body.len();
            let now = self.bytes.fetch_add(len, Ordering::Relaxed) + len;
            self.most_bytes.fetch_max(now, Ordering::Relaxed);
            self.bodies
                .lock()
                .unwrap()
                .insert(request.body.as_ptr() as usize);
            self.tails.lock().unwrap().extend(request.body.last());
            sleep(Duration::from_secs(1)).await;
            self.bytes.fetch_sub(len, Ordering::Relaxed);
            Ok(Response::new(SdkBody::empty()))
        })
    }

    fn refresh(&self, _: ServiceOperation, _: &Target, _: Option<&Caller>) {}
}

struct Tail(Option<[u8; 1]>);

impl PartDecoder for Tail {
    type Part = Image;

    fn tail(&self) -> Option<&[u8]> {
        self.0.as_ref().map(<[u8; 1]>::as_slice)
    }

    fn read(&self, _: &HeaderMap, _: &[u8]) -> Result<Billed<Image>, Error> {
        Ok(Billed {
            usage: Usage::default(),
            result: Ok(Image {
                data: String::new(),
                format: "png",
            }),
        })
    }
}

/// Sends ten requests that share a body of `bytes`, some of them with ends of their own.
async fn send_ten(bytes: usize, has_tails: bool) -> Arc<Counting> {
    let counting = Arc::new(Counting::default());
    let upstream = Upstream::new(counting.clone(), TaskTracker::new());
    let call = Call {
        request_id: "req".into(),
        caller: Arc::new(Caller::default()),
        model: Arc::new(Model::new("m", Target::new("m", "us-east-1"))),
        body: Arc::new(Draw {
            is_edit: false,
            prompt: String::new(),
            n: 10,
            size: None,
            format: None,
            images: Vec::new(),
            mask: None,
            controls: serde_json::Map::new(),
            user: None,
            max_cost: None,
        }),
        plan: Plan {
            route: Route::Invoke,
            reason: None,
            delivery: Delivery::Whole,
            worst: WorstCase::default(),
            compiles: None,
            visible: false,
        },
        end_user: String::new(),
        trace: Trace::default(),
    };
    let shared = Request {
        operation: ServiceOperation::InvokeModel,
        headers: Vec::new(),
        body: Bytes::from(vec![b' '; bytes]),
    };
    let requests = (0..10).map(|tail| {
        let decoder: Box<dyn PartDecoder<Part = Image>> =
            Box::new(Tail(has_tails.then_some([tail])));
        (shared.clone(), decoder)
    });
    let sent = all(&upstream, &Arc::new(call), requests.collect(), 1).await;
    assert_eq!(sent.unwrap().0.len(), 10);
    counting
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_equal_share_one_body() {
    let counting = send_ten(16 << 20, false).await;
    assert_eq!(counting.bodies.lock().unwrap().len(), 1);
}

/// All ten bodies were in memory before the first was sent: 240 MB for an image of 18 MB.
#[tokio::test(start_paused = true)]
async fn large_bodies_of_one_call_are_not_in_memory_together() {
    for (bytes, at_once) in [(24 << 20, 1), (10 << 20, 3), (1000, MAX_IN_FLIGHT)] {
        let counting = send_ten(bytes, true).await;
        let most = counting.most_bytes.load(Ordering::Relaxed);
        assert_eq!(most, at_once * (bytes + 1), "{bytes}");
        let mut tails = counting.tails.lock().unwrap().clone();
        tails.sort_unstable();
        assert_eq!(tails, (0..10).collect::<Vec<u8>>());
    }
}
