//! The routes, written once: for axum, and as OpenAPI 3.1.

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::bodies::Bodies;
use super::{
    Api, appeals, attestations, bounds, campaigns, changes, claims, commands, entitlements, erasures, front,
    gate_words, holds, node, offices, projects, rule_sets, trace,
};

/// The routes of the API, and their description.
pub(super) fn routes(api: &Api) -> (Router, OpenApi) {
    let reads = OpenApiRouter::new()
        .routes(routes!(campaigns::list))
        .routes(routes!(campaigns::show))
        .routes(routes!(campaigns::round))
        .routes(routes!(entitlements::of_address))
        .routes(routes!(entitlements::of_index))
        .routes(routes!(rule_sets::gates))
        .routes(routes!(rule_sets::rule_sets))
        .routes(routes!(offices::authorities))
        .routes(routes!(offices::mandates))
        .routes(routes!(offices::delegations))
        .routes(routes!(holds::holds))
        .routes(routes!(holds::show_person))
        .routes(routes!(appeals::appeals))
        .routes(routes!(node::status))
        .routes(routes!(node::charter))
        .routes(routes!(node::described));
    let rows = OpenApiRouter::new()
        .routes(routes!(attestations::show))
        .routes(routes!(trace::checkpoint))
        .routes(routes!(trace::proof))
        .routes(routes!(trace::entry))
        .routes(routes!(claims::show))
        .routes(routes!(claims::receipt))
        .routes(routes!(commands::show))
        .routes(routes!(commands::receipt));
    // Never among what everybody reads: these have bodies.
    let managing = OpenApiRouter::new()
        .routes(routes!(erasures::erase))
        .routes(routes!(projects::create, projects::list))
        .routes(routes!(projects::make_key, projects::list_keys))
        .routes(routes!(projects::revoke_key));
    let claims = OpenApiRouter::new().routes(routes!(claims::hand_in));
    let feed = OpenApiRouter::new().routes(routes!(changes::list));
    let attestations = OpenApiRouter::new().routes(routes!(attestations::hand_in));
    let orders = OpenApiRouter::new().routes(routes!(commands::hand_in)).routes(routes!(gate_words::hand_in));
    let stories = OpenApiRouter::new().routes(routes!(trace::show));
    let mut description = described();
    let mut split = |routes: OpenApiRouter<Api>| {
        let (router, part) = routes.with_state(api.clone()).split_for_parts();
        description.merge(part);
        router
    };
    let (reads, rows, orders, claims) = (split(reads), split(rows), split(orders), split(claims));
    let (attestations, feed, managing) = (split(attestations), split(feed), split(managing));
    let orders = front::in_place(orders, bounds::ORDERS_MAX);
    let orders = front::bodies_first(orders, Bodies::new(bounds::ORDER_BODIES_MAX));
    let attestations = front::in_turn(attestations, bounds::ATTESTATIONS_MAX);
    let bodies = Bodies::new(bounds::ATTESTATION_BODIES_MAX);
    let attestations = front::single_bodies_first(attestations, bodies, attestations::BODY_BYTES_MAX);
    let router = reads
        .merge(front::in_quick_turn(rows, &api.rows))
        .merge(front::in_turn(managing, bounds::MANAGING_MAX))
        .merge(orders)
        .merge(front::claims_in_place(claims, api.node.clone(), bounds::CLAIMS_MAX, bounds::CLAIM_BYTES_MAX))
        .merge(attestations)
        .merge(front::in_turn(feed, bounds::FEEDS_MAX));
    let router = router.merge(front::in_turn(split(stories), bounds::STORIES_MAX));
    (router, description)
}

fn described() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Sluice")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Token distribution with one ordered, provable sequence of decisions. Every answer carries \
            `As-Of-Seq`, the position of the log it was read at; send it back as `Min-Seq` to be answered at that \
            position or a later one. Problems are problem+json (RFC 9457) with a stable `code`."))
        .build();
    let key = SecurityScheme::Http(
        HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A project's key or the operator's; most addresses need none."))
            .build(),
    );
    let components = ComponentsBuilder::new().security_scheme("key", key).build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// Serves the description.
pub(super) fn serve(description: OpenApi) -> Router {
    // One copy for all who ask.
    let text = Bytes::from(description.to_pretty_json().expect("a description is JSON"));
    Router::new()
        .route("/openapi.json", get(async move || ([(CONTENT_TYPE, "application/json")], text.clone())))
}
