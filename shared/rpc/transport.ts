import type { ChannelOptions } from '@grpc/grpc-js';

/** Larger messages are refused. The largest in use describes a host: about a kilobyte a member. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const PING_EVERY_MS = 2000;
const PING_ANSWER_MS = 5000;

/**
 * The same on both sides. Pings find a connection that was cut without a word (a host that lost power, a
 * firewall) within seven seconds, inside the default lease. A host that is merely busy answers late: on two
 * cores with forty processes that want them, an agent was seen not to run for almost three seconds.
 */
export const CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.keepalive_time_ms': PING_EVERY_MS,
  'grpc.keepalive_timeout_ms': PING_ANSWER_MS,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.enable_retries': 0,
};

/** One coordinator needs one stream; the reflection of an operator's tool another. */
const MAX_STREAMS_OF_A_CONNECTION = 4;
const IDLE_CONNECTION_MS = 60_000;

/** The agent's side also bounds what one connection may have open, and for how long it may have nothing open. */
export const SERVER_OPTIONS: ChannelOptions = {
  ...CHANNEL_OPTIONS,
  'grpc.max_concurrent_streams': MAX_STREAMS_OF_A_CONNECTION,
  'grpc.max_connection_idle_ms': IDLE_CONNECTION_MS,
};
