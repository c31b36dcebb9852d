//! Projects and keys.

use serde_json::json;
use uuid::Uuid;

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

    let second = second["id"].as_str().unwrap();
    assert_eq!(ours.delete(&format!("{own}/{second}")).await.status, 204);
    ours.delete(&format!("{own}/{second}")).await.refused(404, "not_found");
    let first = key["id"].as_str().unwrap();
    assert_eq!(operator.delete(&format!("{own}/{first}")).await.status, 204);
    ours.get("/v1/campaigns").await.refused(401, "unauthorized");
}
