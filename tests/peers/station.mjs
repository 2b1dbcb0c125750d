// What every station here shares: a strict ocpp-rpc client that tells its story on stdout, one JSON object per line.
//   {"step": …}               where it is, for the test that drives it
//   {"sent"|"heard": "…"}     every frame as it was on the wire, seen from the station
// Environment: OCPP_ENDPOINT (ws://host:port/ocpp), OCPP_IDENTITY, OCPP_PASSWORD, KNOWN_TOKEN.
import { RPCClient } from 'ocpp-rpc';

export const { OCPP_ENDPOINT, OCPP_IDENTITY, OCPP_PASSWORD, KNOWN_TOKEN } = process.env;

export const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
export const now = () => new Date().toISOString();
export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// The HTTP status with which a wrong password is refused, or 101 when it is not.
export async function statusOfWrongPassword(options) {
  const stranger = new RPCClient({ ...clientOptions(options), password: 'this-is-not-the-password', reconnect: false });
  try {
    await stranger.connect();
    await stranger.close();
    return 101;
  } catch (error) {
    return error.code;
  }
}

const clientOptions = (options) => ({
  endpoint: OCPP_ENDPOINT,
  identity: OCPP_IDENTITY,
  password: OCPP_PASSWORD,
  strictMode: true,
  callTimeoutMs: 20_000,
  ...options,
});

export class Station {
  constructor(options, replies) {
    this.client = new RPCClient(clientOptions(options));
    this.replies = replies;
    this.strictFailures = [];
    this.waiting = [];
    this.early = [];
    this.client.on('strictValidationFailure', ({ method, outbound, isCall, error }) =>
      this.strictFailures.push({ method, outbound, isCall, error: error.message, details: error.details }),
    );
    this.client.on('message', ({ message, outbound }) => say({ [outbound ? 'sent' : 'heard']: String(message) }));
    this.client.handle(({ method, params }) => this.answer(method, params));
  }

  answer(action, payload) {
    const reply = this.replies[action];
    if (!reply) {
      const error = new Error(`${action} is not known here`);
      error.rpcErrorCode = 'NotImplemented';
      throw error;
    }
    this.deliver({ action, payload });
    return reply(payload);
  }

  deliver(call) {
    const index = this.waiting.findIndex(({ matches }) => matches(call));
    if (index < 0) this.early.push(call);
    else this.waiting.splice(index, 1)[0].resolve(call.payload);
  }

  // The payload of the next call that fits, or of one that came before we waited for it.
  expect(action, fits = () => true) {
    const matches = (call) => call.action === action && fits(call.payload);
    const index = this.early.findIndex(matches);
    if (index >= 0) return Promise.resolve(this.early.splice(index, 1)[0].payload);
    return new Promise((resolve) => this.waiting.push({ matches, resolve }));
  }

  call(action, payload) {
    return this.client.call(action, payload);
  }

  async boot(payload) {
    let answer = await this.call('BootNotification', payload);
    for (let tries = 0; answer.status !== 'Accepted' && tries < 3; tries += 1) {
      await pause(Math.min(answer.interval, 5) * 1000);
      answer = await this.call('BootNotification', payload);
    }
    say({ step: 'booted', status: answer.status, interval: answer.interval });
  }

  async finish() {
    say({ step: 'done', strict_failures: this.strictFailures, protocol: this.client.protocol });
    await this.client.close();
  }
}

// Ends the process with the reason when the story breaks off.
export function tell(story) {
  story().catch((error) => {
    say({ step: 'failed', error: String(error), stack: error.stack });
    process.exit(1);
  });
}
