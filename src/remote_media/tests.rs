//! Attempts to make a URL reach an address that it must not.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

fn settings() -> FetchSettings {
    let hosts = ["*"].map(WildMatch::new).to_vec();
    FetchSettings {
        hosts,
        s3: Vec::new(),
        max_size: 1000,
        timeout: Duration::from_secs(5),
        allow_http: true,
        ports: vec![443, 80],
    }
}

/// Returns the server's response to a path.
fn reply(path: &str) -> String {
    let redirect = |to: &str| {
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
    };
    let ok = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    match path {
        "/ok" => ok("bytes"),
        "/large" => ok(&"x".repeat(1001)),
        // Has no length, so only counting the bytes stops it.
        "/endless" => format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_000)),
        "/once" => redirect("/ok"),
        "/circle" => redirect("/circle"),
        "/metadata" => redirect("http://169.254.169.254/latest/meta-data/"),
        "/mapped" => redirect("http://[::ffff:169.254.169.254]/"),
        "/file" => redirect("file:///etc/passwd"),
        "/other" => redirect("http://127.0.0.2/"),
        "/port" => redirect("http://127.0.0.1:9/"),
        "/nowhere" => "HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
        _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
    }
}

async fn serve(mut stream: TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => seen.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&seen);
    let path = head.split(' ').nth(1).unwrap();
    if path.starts_with("/reset") {
        return;
    }
    if path == "/never" {
        std::future::pending::<()>().await;
    }
    // The client may have disconnected.
    let _ = stream.write_all(reply(path).as_bytes()).await;
}

/// Starts a server on loopback, and returns a client that is allowed to reach it.
async fn server() -> (RemoteMedia, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let base = format!("http://{address}");
    let settings = FetchSettings {
        ports: vec![80, address.port(), 1],
        ..settings()
    };
    #[expect(clippy::disallowed_methods, reason = "ends with the test")]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            #[expect(clippy::disallowed_methods, reason = "ends with the test")]
            tokio::spawn(serve(stream));
        }
    });
    let media =
        RemoteMedia::with_addresses(settings, |ip| ip == IpAddr::from([127, 0, 0, 1])).unwrap();
    (media, base)
}

#[tokio::test]
async fn redirects_are_followed_within_limits_and_to_allowed_addresses_only() {
    let (media, base) = server().await;
    let fetch = async |path: &str| {
        media
            .fetch(&format!("{base}{path}"), "here", &media.byte_budget())
            .await
    };
    assert_eq!(fetch("/ok").await.unwrap(), STANDARD.encode("bytes"));
    assert_eq!(fetch("/once").await.unwrap(), STANDARD.encode("bytes"));
    for path in [
        "/large",
        "/endless",
        "/missing",
        "/circle",
        "/metadata",
        "/mapped",
        "/file",
        "/other",
        "/port",
        "/nowhere",
    ] {
        let error = fetch(path).await.expect_err(path);
        assert_eq!(
            (error.param(), error.code()),
            (Some("here"), Some("unsupported_url")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_fetch_times_out() {
    let (mut media, base) = server().await;
    let impatient = FetchSettings {
        timeout: Duration::from_millis(50),
        ..FetchSettings::clone(&media.settings)
    };
    media.settings = Arc::new(impatient);
    let error = media
        .fetch(&format!("{base}/never"), "here", &media.byte_budget())
        .await
        .unwrap_err();
    assert!(error.message().contains("within 50ms"), "{error}");
}

#[tokio::test]
async fn a_signed_url_never_reaches_the_log() {
    let (media, base) = server().await;
    for url in [
        format!("{base}/reset?signature=s3cret"),
        "http://127.0.0.1:1/?signature=s3cret".to_owned(),
    ] {
        let error = media
            .fetch(&url, "here", &media.byte_budget())
            .await
            .unwrap_err();
        let text = format!("{} {}", error.message(), error.detail().unwrap());
        assert!(
            !text.contains("s3cret") && !text.contains("127.0.0.1"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_url_cannot_reach_a_private_address_in_any_notation() {
    let media = RemoteMedia::new(settings()).unwrap();
    for url in [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b:1::808:808]/",
        "http://[2002:7f00:1::]/",
        "http://[::1]/",
        "http://[::]/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1]/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
        "http://100.100.100.200/",
        "http://192.168.0.1/",
        // A name that resolves to a private address is stopped when the connection is made.
        "http://localhost/",
        "http://user:secret@example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "not a url",
    ] {
        let error = media
            .fetch(url, "here", &media.byte_budget())
            .await
            .expect_err(url);
        assert_eq!(error.kind(), Kind::InvalidRequest, "{url}");
        assert!(
            !error.message().contains("refused"),
            "{url}: no connection was attempted: {error}"
        );
    }
}

/// Every port of an allowed host was fetched from, such as that of a database.
#[tokio::test]
async fn only_allowed_ports_are_fetched() {
    let media = RemoteMedia::new(settings()).unwrap();
    for url in ["http://example.com:6379/", "https://example.com:8443/"] {
        let error = media
            .fetch(url, "here", &media.byte_budget())
            .await
            .expect_err(url);
        assert!(error.message().contains("from this port"), "{url}: {error}");
    }
    let check = |url: &str, ports: &[u16]| {
        let (mut media, ports) = (media.clone(), ports.to_vec());
        media.settings = Arc::new(FetchSettings {
            ports,
            ..settings()
        });
        media.check(&Url::parse(url).unwrap(), "here").is_ok()
    };
    assert!(check("https://example.com/", &[443]) && check("http://example.com/", &[80]));
    assert!(!check("http://example.com/", &[443]));
    assert!(check("https://example.com:8443/", &[443, 8443]));
}

#[tokio::test]
async fn only_allowed_hosts_are_fetched() {
    let hosts = vec![WildMatch::new("*.example.com")];
    let media = RemoteMedia::new(FetchSettings {
        hosts,
        allow_http: false,
        ..settings()
    })
    .unwrap();
    for url in [
        "https://example.org/",
        "https://example.com.evil.test/",
        "http://img.example.com/",
    ] {
        let error = media
            .fetch(url, "here", &media.byte_budget())
            .await
            .expect_err(url);
        assert!(error.message().contains("fetch"), "{url}: {error}");
    }
    assert!(address::is_public("93.184.216.34".parse().unwrap()));
    assert!(address::is_public(
        "2606:2800:220:1:248:1893:25c8:1946".parse().unwrap()
    ));
}
