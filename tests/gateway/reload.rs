//! Reloads of the configuration file.

use std::fs;

use http::{Method, StatusCode};
use lintel::{
    app::{App, Source},
    call::Secret,
    config::{self, Environment},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{ADMIN_TOKEN, Gateway, KEY, PATIENCE, serve, simulator, telemetry};

const NOVA: &str = "[models.nova]\ntarget = \"amazon.nova-lite-v1:0\"\n";
const KEYS: &str = "[keys.all]\nsecret_env = \"TEST_KEY\"\n";

/// A gateway whose configuration is a file.
struct FromFile {
    gateway: Gateway,
    folder: tempfile::TempDir,
    aws: String,
}

impl FromFile {
    /// Starts it with `more` after the settings of ports and AWS.
    async fn start(server: &str, more: &str) -> Self {
        let simulator = simulator();
        let address = serve(simulator.router()).await;
        let aws = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\npre_stop = \"0s\"\n{server}[admin]\nlisten = \"127.0.0.1:0\"\n\
             [store]\nurl = \"memory:\"\n[aws]\nregion = \"us-east-1\"\nendpoint_url = \"http://{address}\"\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lintel.toml");
        let text = format!("{aws}{more}");
        fs::write(&path, &text).unwrap();
        let variables = [("TEST_KEY", KEY), ("LINTEL_ADMIN_TOKEN", ADMIN_TOKEN)];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = Environment {
            variables: variables.into(),
            flags: Vec::new(),
        };
        let (mut config, values) = config::parse(&text, &environment, None).unwrap();
        config.aws.settings.static_credentials =
            Some(("simulator".into(), Secret::new("simulator")));
        let mut app = App::bind(config, telemetry()).await.unwrap();
        app.source = Some(Source {
            path,
            environment,
            text,
            values,
        });
        let gateway = Gateway::run(simulator, app, CancellationToken::new());
        Self {
            gateway,
            folder,
            aws,
        }
    }

    fn write(&self, more: &str) {
        let path = self.folder.path().join("lintel.toml");
        fs::write(path, format!("{}{more}", self.aws)).unwrap();
    }

    async fn reload(&self) -> (StatusCode, Value) {
        self.gateway
            .administer(Method::POST, "/admin/reload", &Value::Null)
            .await
    }

    /// Writes `more`, and puts it in force.
    async fn reload_with(&self, more: &str) -> Value {
        self.write(more);
        let (status, reloaded) = self.reload().await;
        assert_eq!(status, StatusCode::OK, "{reloaded}");
        reloaded
    }

    async fn chat(&self, model: &str) -> StatusCode {
        self.gateway.chat(&asks(model)).await.status
    }
}

fn asks(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 100})
}

#[tokio::test]
async fn row_74_invalid_configuration_is_refused_whole_with_every_problem() {
    let running = FromFile::start("", &format!("{NOVA}{KEYS}")).await;
    for (wrong, named) in [
        ("[models.other\n", vec!["unclosed table"]),
        (
            "[models.other]\ntarget = \"amazon.nova-micro-v1:0\"\nprise = 1\nprice = { input = -1, output = 1 }\n",
            vec!["models.other.prise", "models.other.price.input"],
        ),
    ] {
        running.write(&format!("{wrong}{KEYS}"));
        let (status, refused) = running.reload().await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let message = refused["error"]["message"].as_str().unwrap();
        for name in named {
            assert!(message.contains(name), "{message}");
        }
        assert_eq!(running.chat("nova").await, StatusCode::OK);
        assert_eq!(running.chat("other").await, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn row_75_call_to_a_model_that_a_reload_removes_ends_as_it_began() {
    let running = FromFile::start("", &format!("{NOVA}{KEYS}")).await;
    let mut request = asks("nova");
    request["messages"][0]["content"] = "[simulate words 40] [simulate pace 10ms]".into();
    request["stream"] = true.into();
    let open = running.gateway.open(&request).await;
    let other = NOVA.replace("models.nova", "models.other");
    let reloaded = running.reload_with(&format!("{other}{KEYS}")).await;
    let changed = reloaded["changed"].to_string();
    assert!(changed.contains("models.nova.target: amazon.nova-lite-v1:0 -> none"));
    assert!(changed.contains("models.other.target: none -> amazon.nova-lite-v1:0"));
    assert_eq!(running.chat("nova").await, StatusCode::NOT_FOUND);
    assert_eq!(running.chat("other").await, StatusCode::OK);
    let body = http_body_util::BodyExt::collect(open.into_body());
    let body = tokio::time::timeout(PATIENCE, body).await.unwrap().unwrap();
    assert!(body.to_bytes().ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn row_76_budget_below_what_is_spent_rejects_new_calls_and_ends_none() {
    let budget = |usd: &str| format!("{NOVA}{KEYS}budget = {{ usd = {usd}, per = \"day\" }}\n");
    let running = FromFile::start("", &budget("1")).await;
    assert_eq!(running.chat("nova").await, StatusCode::OK);
    let mut request = asks("nova");
    request["messages"][0]["content"] = "[simulate words 40] [simulate pace 10ms]".into();
    request["stream"] = true.into();
    let open = running.gateway.open(&request).await;
    running.reload_with(&budget("0.000001")).await;
    assert_eq!(running.chat("nova").await, StatusCode::TOO_MANY_REQUESTS);
    let body = http_body_util::BodyExt::collect(open.into_body());
    let body = tokio::time::timeout(PATIENCE, body).await.unwrap().unwrap();
    assert!(body.to_bytes().ends_with(b"data: [DONE]\n\n"));
    running.reload_with(&format!("{NOVA}{KEYS}")).await;
    assert_eq!(running.chat("nova").await, StatusCode::OK);
    let path = "/admin/budgets";
    let (_, budgets) = running
        .gateway
        .administer(Method::GET, path, &Value::Null)
        .await;
    assert_eq!(budgets["budgets"], json!([]));
    // What was spent before counts again.
    running.reload_with(&budget("0.000001")).await;
    assert_eq!(running.chat("nova").await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn reload_changes_keys_limits_and_teams_and_leaves_virtual_keys() {
    let team =
        |limit: u32| format!("[teams.search]\nlimits = {{ requests_per_minute = {limit} }}\n");
    let running = FromFile::start("", &format!("{NOVA}{KEYS}{}", team(100))).await;
    let (_, made) = running
        .gateway
        .administer(
            Method::POST,
            "/admin/keys",
            &json!({"name": "made", "team": "search"}),
        )
        .await;
    let secret = made["secret"].as_str().unwrap();
    let call = async || running.gateway.as_key(secret, &asks("nova")).await.status;
    assert_eq!(call().await, StatusCode::OK);
    running
        .reload_with(&format!("{NOVA}{KEYS}{}", team(1)))
        .await;
    assert_eq!(call().await, StatusCode::OK);
    assert_eq!(call().await, StatusCode::TOO_MANY_REQUESTS);
    // Without its team, the key would have no limits.
    running.reload_with(&format!("{NOVA}{KEYS}")).await;
    assert_eq!(call().await, StatusCode::UNAUTHORIZED);
    running.reload_with(&format!("{NOVA}{}", team(100))).await;
    // The limit grows at its new rate from what is left.
    let grown = async || call().await == StatusCode::OK;
    running.gateway.until(grown).await;
    assert_eq!(running.chat("nova").await, StatusCode::UNAUTHORIZED);
}

/// Calls that had no limit when they began were not counted.
#[tokio::test]
async fn limit_of_calls_in_flight_counts_those_that_run_when_it_is_set() {
    let running = FromFile::start("", &format!("{NOVA}{KEYS}")).await;
    let mut request = asks("nova");
    request["messages"][0]["content"] = "[simulate words 40] [simulate pace 10ms]".into();
    request["stream"] = true.into();
    let open = running.gateway.open(&request).await;
    running
        .reload_with(&format!("{NOVA}{KEYS}limits = {{ in_flight = 1 }}\n"))
        .await;
    assert_eq!(running.chat("nova").await, StatusCode::TOO_MANY_REQUESTS);
    let body = http_body_util::BodyExt::collect(open.into_body());
    let body = tokio::time::timeout(PATIENCE, body).await.unwrap().unwrap();
    assert!(body.to_bytes().ends_with(b"data: [DONE]\n\n"));
    assert_eq!(running.chat("nova").await, StatusCode::OK);
}

#[tokio::test]
async fn revoked_key_stays_revoked_after_a_reload() {
    let running = FromFile::start("", &format!("{NOVA}{KEYS}")).await;
    let keys = "/admin/keys";
    let body = json!({"name": "made"});
    let (_, made) = running.gateway.administer(Method::POST, keys, &body).await;
    let path = format!("{keys}/{}", made["key"]["id"].as_str().unwrap());
    running
        .gateway
        .administer(Method::DELETE, &path, &Value::Null)
        .await;
    running.reload_with(&format!("{NOVA}{KEYS}")).await;
    let secret = made["secret"].as_str().unwrap();
    let reply = running.gateway.as_key(secret, &asks("nova")).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn settings_that_need_a_restart_are_named_until_there_is_one() {
    let running = FromFile::start("", &format!("{NOVA}{KEYS}")).await;
    let limited =
        format!("{NOVA}{KEYS}[alerts]\nwebhook_url = \"http://user@127.0.0.1:9/secret\"\n");
    for _ in 0..2 {
        let reloaded = running.reload_with(&limited).await;
        assert_eq!(
            reloaded["needs_restart"],
            json!(["alerts.webhook_url: none -> http://127.0.0.1:9/…"])
        );
    }
    let text = format!(
        "{}{NOVA}{KEYS}",
        running.aws.replace("us-east-1", "eu-west-1")
    );
    fs::write(running.folder.path().join("lintel.toml"), text).unwrap();
    let (status, refused) = running.reload().await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("aws.region: changed, which needs a restart"),
        "{message}"
    );
}

#[tokio::test]
async fn dry_run_says_what_a_reload_would_change_and_changes_nothing() {
    let running = FromFile::start("", &format!("{NOVA}{KEYS}")).await;
    let other =
        "[models.other]\ntarget = \"us.anthropic.claude-sonnet-5-5\"\nregions = [\"us-west-2\"]\n";
    running.write(&format!("{NOVA}{other}{KEYS}"));
    let path = "/admin/reload?dry_run=true";
    let (status, reloaded) = running
        .gateway
        .administer(Method::POST, path, &Value::Null)
        .await;
    assert_eq!(status, StatusCode::OK, "{reloaded}");
    assert!(
        reloaded["changed"]
            .to_string()
            .contains("models.other.target")
    );
    assert_eq!(running.chat("other").await, StatusCode::NOT_FOUND);
    running.reload().await;
    // Its region is new to the gateway.
    assert_eq!(running.chat("other").await, StatusCode::OK);
}

#[tokio::test]
async fn watched_file_is_reloaded_when_it_has_changed() {
    let running = FromFile::start("watch_config = true\n", &format!("{NOVA}{KEYS}")).await;
    running.write(&format!("{NOVA}{}{KEYS}", NOVA.replace("nova]", "other]")));
    let is_there = async || running.chat("other").await == StatusCode::OK;
    running.gateway.until(is_there).await;
}

/// They stayed in the health of targets and in metrics until a restart.
#[tokio::test]
async fn targets_that_a_reload_removes_leave_health_and_metrics() {
    const GONE: &str = "[models.leaving]\ntarget = \"amazon.nova-micro-v1:0\"\n";
    let running = FromFile::start("", &format!("{NOVA}{GONE}{KEYS}")).await;
    for model in ["nova", "leaving"] {
        assert_eq!(running.chat(model).await, StatusCode::OK);
    }
    let state = async || {
        let (_, metrics) = running.gateway.admin("/metrics").await;
        let series = "lintel_breaker_state{region=\"us-east-1\",model=\"leaving\"} ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(series));
        line.map(str::to_owned)
    };
    assert_eq!(state().await.as_deref(), Some("0"));
    running.reload_with(&format!("{NOVA}{KEYS}")).await;
    // A scrape may get the page of the one before.
    let is_gone = async || state().await.as_deref() == Some("NaN");
    running.gateway.until(is_gone).await;
    let (_, health) = running
        .gateway
        .administer(Method::GET, "/admin/health", &Value::Null)
        .await;
    let targets = health["targets"].as_array().unwrap();
    let models: Vec<_> = targets.iter().map(|target| &target["model"]).collect();
    assert_eq!(models, ["nova"]);
}
