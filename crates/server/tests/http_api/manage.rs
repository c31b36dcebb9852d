//! Projects and keys.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::ask::Client;
use crate::ground::Ground;

pub(crate) async fn projects_keys_and_what_they_open(ground: &Ground) {
    let anyone = &ground.leader.client;
    let operator = anyone.with_key(&ground.operator_key);
    let project = json!({ "id": ground.project, "name": "Payments" });
    anyone.post("/v1/projects", &project).await.refused(401, "unauthorized");
    let made = operator.post("/v1/projects", &project).await.is(201);
    assert_eq!(operator.post("/v1/projects", &project).await.is(201), made, "creating it again is no error");
    let (other, taken) = (Uuid::now_v7(), json!({ "id": Uuid::now_v7(), "name": "Payments" }));
    operator.post("/v1/projects", &taken).await.refused(409, "name_taken");
    operator.post("/v1/projects", &json!({ "id": other, "name": "" })).await.refused(400, "malformed_body");
    operator.post("/v1/projects", &json!({ "id": other, "name": "Other" })).await.is(201);
    assert_eq!(operator.get("/v1/projects").await.is(200).as_array().unwrap().len(), 2);

    let keys = |project: &dyn std::fmt::Display| format!("/v1/projects/{project}/keys");
    let (own, others) = (keys(&ground.project), keys(&other));
    let label = json!({ "label": "back office" });
    let nobodys = operator.post(&keys(&Uuid::now_v7()), &label).await.refused(404, "not_found");
    assert_eq!(nobodys["field"], "project");
    let key = operator.post(&own, &label).await.is(201);
    let ours = anyone.with_key(key["key"].as_str().unwrap());
    let theirs = operator.post(&others, &label).await.is(201);
    let theirs = anyone.with_key(theirs["key"].as_str().unwrap());

    // A project manages its own keys and sees its own campaigns; nobody else's.
    anyone.get(&own).await.refused(401, "unauthorized");
    theirs.get(&own).await.refused(403, "forbidden");
    ours.post("/v1/projects", &project).await.refused(403, "forbidden");
    let second = ours.post(&own, &label).await.is(201);
    assert_eq!(ours.get(&own).await.is(200).as_array().unwrap().len(), 2);
    let listed = ours.get("/v1/campaigns").await.is(200);
    assert_eq!(listed["campaigns"][0]["campaign"], json!(ground.campaign));
    assert_eq!(theirs.get("/v1/campaigns").await.is(200)["campaigns"], json!([]));
    assert_eq!(anyone.get("/v1/campaigns?limit=1").await.is(200), listed);
    theirs.get(&ground.path("")).await.refused(403, "forbidden");
    theirs.get(&format!("/v1/campaigns?project={}", ground.project)).await.refused(403, "forbidden");
    ours.get(&ground.path("")).await.is(200);

    // Erasing is the operator's; nothing is kept about these.
    let erasure = json!({ "person": format!("0x{}", "a1".repeat(32)), "reason": "asked for it" });
    anyone.post("/v1/erasures", &erasure).await.refused(401, "unauthorized");
    ours.post("/v1/erasures", &erasure).await.refused(403, "forbidden");
    let both =
        json!({ "person": erasure["person"], "recipient": format!("0x{}", "b2".repeat(20)), "reason": "x" });
    operator.post("/v1/erasures", &both).await.refused(400, "malformed_body");
    let silent = json!({ "person": erasure["person"], "reason": "" });
    assert_eq!(
        operator.post("/v1/erasures", &silent).await.refused(400, "malformed_body")["field"],
        "reason"
    );
    let erased = operator.post("/v1/erasures", &erasure).await.is(201);
    assert_eq!((&erased["facts"], &erased["attestations"]), (&json!(0), &json!(0)));

    refused_before_their_body_is_read(anyone, &own).await;
    slow_bodies_keep_no_reader_out(&ours, &operator, &own).await;

    let second = second["id"].as_str().unwrap();
    assert_eq!(ours.delete(&format!("{own}/{second}")).await.status, 204);
    ours.delete(&format!("{own}/{second}")).await.refused(404, "not_found");
    let first = key["id"].as_str().unwrap();
    assert_eq!(operator.delete(&format!("{own}/{first}")).await.status, 204);
    ours.get("/v1/campaigns").await.refused(401, "unauthorized");
}

/// Who may not is told so whatever the body is.
async fn refused_before_their_body_is_read(anyone: &Client, keys: &str) {
    for path in ["/v1/projects", "/v1/erasures", keys] {
        anyone.post(path, &json!("no such body")).await.refused(401, "unauthorized");
    }
}

/// Bodies that do not come keep places among those who manage, and none among those who read.
async fn slow_bodies_keep_no_reader_out(project: &Client, operator: &Client, keys: &str) {
    let mut held = Vec::new();
    // More than both have places, at first.
    for _ in 0..40 {
        let mut connection = TcpStream::connect(project.host()).await.unwrap();
        let key = project.key.as_deref().unwrap();
        let head = format!(
            "POST {keys} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
            project.host()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        held.push(connection);
    }
    let made = json!({ "label": "in between" });
    while operator.post(&format!("/v1/projects/{}/keys", Uuid::now_v7()), &made).await.status != 503 {}
    // Among those that read rows: nothing has this position.
    project.get("/v1/log/entries/999999999").await.refused(404, "not_found");
}
