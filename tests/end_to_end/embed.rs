use murder::Deployment;
use murder::deploy::Body;
use murder::fleet::FleetState;
use murder::inventory::{Inventory, Options};
use murder::ssh::ConfigSource;

use crate::support::host::{assert_active, fleet};
use crate::support::tree;

#[test]
fn a_program_deploys_and_follows_the_events() {
    let fleet = fleet(3, &[]);
    let folder = tempfile::tempdir().unwrap();
    let (payload, runs) = (folder.path().join("app"), folder.path().join("runs"));
    tree::make(&payload, 1 << 20);
    let inventory = Inventory::parse("a program's own", &fleet.inventory()).unwrap();
    let options = Options { tag: Some("v1".into()), ..Options::default() };
    let known_hosts = fleet.known_hosts().to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (state, exit) = runtime.block_on(async {
        let deployment = Deployment::new(&payload, inventory).options(options);
        let deployment = deployment.ssh(ConfigSource::None { known_hosts }).record_below(&runs);
        let mut run = deployment.start().unwrap();
        let (mut state, mut exit) = (FleetState::new(), None);
        while let Some(event) = run.events.recv().await {
            state.apply(&event);
            if let Body::Finished(summary) = event.body {
                exit = Some(summary.exit);
            }
        }
        run.task.await.unwrap();
        (state, exit)
    });
    assert_eq!((exit, state.hosts().len()), (Some(0), 3));
    for host in fleet.hosts() {
        assert_active(&host.dest, "v1", &payload);
    }
    let recorded = murder::report::Past::find(&runs, "last").unwrap();
    assert_eq!(recorded.recorded.record().tag, "v1");
}
