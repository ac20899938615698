import sys
import libtorrent as lt

policy, torrent, folder, address, *peers = sys.argv[1:]
encryption = {'forced': 0, 'plain': 2}[policy]  # pe_forced, pe_disabled
session = lt.session({
    'listen_interfaces': address,
    'enable_dht': False, 'enable_lsd': False, 'enable_upnp': False, 'enable_natpmp': False,
    'enable_incoming_utp': False, 'enable_outgoing_utp': False,
    'in_enc_policy': encryption, 'out_enc_policy': encryption,
    'allowed_enc_level': 2, 'prefer_rc4': True,  # the stream, not the handshake alone
    'allow_multiple_connections_per_ip': True,
    # Nothing held back among friends.
    'unchoke_slots_limit': -1, 'choking_algorithm': 0, 'connections_limit': 1000,
    'connection_speed': 1000, 'torrent_connect_boost': 255, 'peer_turnover': 0, 'ignore_limits_on_local_network': True,
    'max_out_request_queue': 1500, 'max_allowed_in_request_queue': 4000, 'request_queue_time': 1,
    'send_buffer_watermark': 1 << 20, 'mixed_mode_algorithm': 0, 'rate_limit_ip_overhead': False,
    # A peer that answers late is not waited for: with the default of 60 s every other run stood still for so long.
    'request_timeout': 10, 'piece_timeout': 5, 'strict_end_game_mode': False,
    'alert_mask': lt.alert.category_t.status_notification,
})
handle = session.add_torrent({'ti': lt.torrent_info(torrent), 'save_path': folder})
while session.listen_port() == 0 or str(handle.status().state) in ('checking_files', 'checking_resume_data'):
    session.wait_for_alert(20)
    session.pop_alerts()
print('ready', flush=True)
sys.stdin.readline()
for peer in peers:
    host, port = peer.rsplit(':', 1)
    handle.connect_peer((host, int(port)))
# By alert, for asking costs CPU that is not the download's.
finished = handle.status().is_seeding
while not finished:
    session.wait_for_alert(1000)
    finished = any(isinstance(alert, lt.torrent_finished_alert) for alert in session.pop_alerts())
print('done', flush=True)
sys.stdin.read()
