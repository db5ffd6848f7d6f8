//! Session tags that name the caller in AWS's cost reports.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::Router;
use http::StatusCode;
use reqwest::Url;

use crate::support::{ANY_KEY, Gateway, KEY, PATIENCE, regions::ask, serve, simulator};

/// The keys of the tests, with teams, and a model of another account.
const SETTINGS: &str = r#"
    [teams.search]
    [keys.tagged]
    sha256 = "KEY_DIGEST"
    models = ["*"]
    team = "search"
    [models.foreign]
    target = "amazon.nova-micro-v1:0"
    accounts = ["other"]
"#;

const TAGGED_KEY: &str = "sk-test-tagged-0123456789abcdef01234567";

/// What a fake STS does with requests for sessions with tags.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Works,
    Denies,
    Hangs,
}

/// A fake STS. The token of a session names the role and its tags.
#[derive(Clone)]
struct Sts {
    mode: Arc<Mutex<Mode>>,
    tagged: Arc<AtomicUsize>,
}

impl Sts {
    fn new() -> Self {
        Self {
            mode: Arc::new(Mutex::new(Mode::Works)),
            tagged: Arc::default(),
        }
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn router(&self) -> Router {
        let sts = self.clone();
        Router::new().fallback(move |body: String| {
            let sts = sts.clone();
            async move { sts.answer(&body).await }
        })
    }

    async fn answer(&self, body: &str) -> (StatusCode, [(&'static str, &'static str); 1], String) {
        let form = Url::parse(&format!("http://sts/?{body}")).unwrap();
        let form: BTreeMap<_, _> = form.query_pairs().into_owned().collect();
        let tags: Vec<_> = (1..)
            .map_while(|number| {
                let of = |part: &str| form.get(&format!("Tags.member.{number}.{part}"));
                Some(format!("{}={}", of("Key")?, of("Value")?))
            })
            .collect();
        let mode = *self.mode.lock().unwrap();
        let xml = [("content-type", "text/xml")];
        if !tags.is_empty() {
            self.tagged.fetch_add(1, Ordering::SeqCst);
            match mode {
                Mode::Works => {}
                Mode::Hangs => std::future::pending().await,
                Mode::Denies => {
                    let error = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                        <Message>not authorized to perform: sts:TagSession</Message></Error></ErrorResponse>";
                    return (StatusCode::FORBIDDEN, xml, error.to_owned());
                }
            }
        }
        let account = form["RoleArn"].split(':').nth(4).unwrap().to_owned();
        let token = [vec![account], tags].concat().join(" ");
        let session = format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
             <AccessKeyId>simulator</AccessKeyId><SecretAccessKey>simulator</SecretAccessKey>\
             <SessionToken>{token}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
             </Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        (StatusCode::OK, xml, session)
    }
}

/// Starts a gateway that assumes a role in its own account, and another one in the account `other`.
async fn gateway(sts: &Sts) -> Gateway {
    let bedrock = simulator();
    let aws = format!(
        "endpoint_url = \"http://{}\"\nendpoints.sts = \"http://{}\"\nattribution = \"session_tags\"\n\
         assume_role = {{ arn = \"arn:aws:iam::123456789012:role/lintel\" }}\n\
         accounts.other = {{ role_arn = \"arn:aws:iam::210987654321:role/bedrock\" }}",
        serve(bedrock.router()).await,
        serve(sts.router()).await,
    );
    let settings = SETTINGS.replace("KEY_DIGEST", &crate::support::sha256(TAGGED_KEY));
    Gateway::start_at(bedrock, &aws, &settings).await
}

/// Asks `model` with the key `secret`, and returns the session that the simulator has seen.
async fn session(gateway: &Gateway, secret: &str, model: &str) -> String {
    let reply = gateway.as_key(secret, &ask(model, "Hi")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let received = gateway.simulator.received();
    let token = &received.last().unwrap().headers["x-amz-security-token"];
    token.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn sessions_carry_key_and_team_and_are_kept() {
    let sts = Sts::new();
    let gateway = gateway(&sts).await;
    let of = async |secret: &str, model: &str| session(&gateway, secret, model).await;
    let both = "lintel:key=tagged lintel:team=search";
    for _ in 0..2 {
        assert_eq!(
            of(TAGGED_KEY, "again").await,
            format!("123456789012 {both}")
        );
        assert_eq!(of(KEY, "again").await, "123456789012 lintel:key=all");
        assert_eq!(of(ANY_KEY, "again").await, "123456789012 lintel:key=any");
        assert_eq!(
            of(TAGGED_KEY, "foreign").await,
            format!("210987654321 {both}")
        );
    }
    assert_eq!(sts.tagged.load(Ordering::SeqCst), 4);
}

/// A POST that no SDK has an operation for is signed by the gateway itself.
#[tokio::test]
async fn requests_outside_the_sdk_carry_the_tags_too() {
    let sts = Sts::new();
    let gateway = gateway(&sts).await;
    let session = session(&gateway, ANY_KEY, "openai.gpt-oss-120b").await;
    assert_eq!(session, "123456789012 lintel:key=any");
}

#[tokio::test]
async fn call_is_signed_without_tags_if_sts_denies_or_hangs_and_with_them_as_soon_as_it_works() {
    for mode in [Mode::Denies, Mode::Hangs] {
        let sts = Sts::new();
        sts.set(mode);
        let gateway = gateway(&sts).await;
        let began = std::time::Instant::now();
        for _ in 0..3 {
            assert_eq!(session(&gateway, KEY, "again").await, "123456789012");
        }
        assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
        let (_, metrics) = gateway.admin("/metrics").await;
        let line = "lintel_untagged_requests_total{account=\"own\"}";
        assert!(metrics.contains(line), "{metrics}");
        sts.set(Mode::Works);
        let is_tagged = async || {
            let session = session(&gateway, KEY, "again").await;
            session == "123456789012 lintel:key=all"
        };
        gateway.until(is_tagged).await;
    }
}
