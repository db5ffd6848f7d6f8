use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

use super::*;

/// Returns a client whose names resolve as `look_up` says.
fn client<F>(look_up: impl Fn() -> F + Send + Sync + 'static) -> Connections
where
    F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    let look_up = move |_: Name| -> BoxFuture<'static, _> { Box::pin(look_up()) };
    Connections::with_resolver(&TrustedRoots::system(), Resolver(Arc::new(look_up))).unwrap()
}

async fn get(client: &Connections) -> Result<String, ConnectorError> {
    // Without a port in the URL, that of the address applies.
    let request = HttpRequest::get("http://bedrock.test/").unwrap();
    let mut reply = client.send(request, Some(Duration::from_secs(60))).await?;
    let body = std::mem::replace(reply.body_mut(), SdkBody::taken());
    let body = body.collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn row_58_name_that_does_not_resolve_is_an_error() {
    let client = client(async || Err(io::Error::other("no such name")));
    let error = get(&client).await.unwrap_err();
    assert!(error.is_io(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn row_58_slow_name_server_is_an_error_after_the_connect_timeout() {
    let client = client(std::future::pending);
    let began = Instant::now();
    assert!(get(&client).await.is_err());
    assert_eq!(began.elapsed(), CONNECT_TIMEOUT);
}

/// Answers every request on `listener` with `answer`, one request per connection.
async fn serve(listener: TcpListener, answer: &'static str) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let length = answer.len();
        let reply = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{answer}"
        );
        stream.write_all(reply.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn row_58_changed_address_is_used_by_the_next_connection() {
    let old = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let new = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Arc::new(Mutex::new(old.local_addr().unwrap()));
    let lookups = Arc::new(AtomicUsize::new(0));
    let (current, counted) = (address.clone(), lookups.clone());
    let client = client(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let address = *current.lock().unwrap();
        async move { Ok(vec![address]) }
    });
    let test = async {
        assert_eq!(get(&client).await.unwrap(), "old");
        *address.lock().unwrap() = new.local_addr().unwrap();
        let serving = serve(new, "new");
        tokio::select! {
            () = serving => panic!("ended"),
            answer = get(&client) => assert_eq!(answer.unwrap(), "new"),
        }
        assert_eq!(lookups.load(Ordering::SeqCst), 2);
    };
    tokio::select! {
        () = serve(old, "old") => panic!("ended"),
        () = test => {}
    }
}
