// The story of a 2.0.1 or 2.1 station: the same as the 1.6 one, told by TransactionEvents. Use cases in brackets.
import { randomUUID } from 'node:crypto';
import { KNOWN_TOKEN, Station, now, pause, say, statusOfWrongPassword } from './station.mjs';

const accepted = () => ({ status: 'Accepted' });
const evse = { id: 1, connectorId: 1 };
const idToken = (value) => ({ idToken: value, type: 'ISO14443' });

const replies = {
  RequestStartTransaction: accepted,
  RequestStopTransaction: accepted,
  SetChargingProfile: accepted,
  ClearChargingProfile: accepted,
  UpdateDynamicSchedule: accepted,
  SetVariables: ({ setVariableData }) => ({
    setVariableResult: setVariableData.map(({ component, variable }) => ({ attributeStatus: 'Accepted', component, variable })),
  }),
  GetVariables: ({ getVariableData }) => ({
    getVariableResult: getVariableData.map(({ component, variable }) => ({ attributeStatus: 'UnknownVariable', component, variable })),
  }),
  GetCompositeSchedule: () => ({ status: 'Rejected' }),
  TriggerMessage: () => ({ status: 'NotImplemented' }),
  GetBaseReport: () => ({ status: 'NotSupported' }),
  Reset: () => ({ status: 'Rejected' }),
};

const status = (station, value) =>
  station.call('StatusNotification', { timestamp: now(), connectorStatus: value, evseId: 1, connectorId: 1 });

const meterValue = (registerWh, context) => [
  {
    timestamp: now(),
    sampledValue: [
      { value: registerWh, context, measurand: 'Energy.Active.Import.Register', unitOfMeasure: { unit: 'Wh' } },
      { value: 7200, context, measurand: 'Power.Active.Import', unitOfMeasure: { unit: 'W' } },
    ],
  },
];

// One transaction's events with their sequence numbers [E01 to E06].
function transaction(station, remoteStartId) {
  const transactionId = randomUUID();
  let seqNo = -1;
  const event = (eventType, triggerReason, chargingState, more = {}, info = {}) => {
    seqNo += 1;
    const transactionInfo = { transactionId, chargingState, ...(remoteStartId === undefined ? {} : { remoteStartId }), ...info };
    return station.call('TransactionEvent', { eventType, timestamp: now(), triggerReason, seqNo, transactionInfo, evse, ...more });
  };
  return { transactionId, event };
}

// Plug first, then the card [E03]; or started from remote [F01].
async function session(station, startWh, remoteStartId, whileCharging = async () => {}) {
  const remote = remoteStartId !== undefined;
  const { transactionId, event } = transaction(station, remoteStartId);
  await status(station, 'Occupied');
  await event('Started', 'CablePluggedIn', 'EVConnected', { meterValue: meterValue(startWh, 'Transaction.Begin') });
  const answer = await event('Updated', remote ? 'RemoteStart' : 'Authorized', 'EVConnected', { idToken: idToken(KNOWN_TOKEN) });
  await event('Updated', 'ChargingStateChanged', 'Charging');
  for (let sample = 1; sample <= 10; sample += 1) {
    await pause(100);
    const registerWh = Number((startWh + sample * 0.2).toFixed(1));
    await event('Updated', 'MeterValuePeriodic', 'Charging', { meterValue: meterValue(registerWh, 'Sample.Periodic') });
  }
  await whileCharging(transactionId);
  await event('Ended', remote ? 'RemoteStop' : 'EVDeparted', 'Idle', { meterValue: meterValue(startWh + 2, 'Transaction.End') },
    { stoppedReason: remote ? 'Remote' : 'EVDisconnected' });
  await status(station, 'Available');
  return { transaction: transactionId, start_status: answer.idTokenInfo?.status };
}

export async function story(options, model) {
  say({ step: 'refused', http_status: await statusOfWrongPassword(options) });
  const station = new Station(options, replies);
  await station.client.connect();
  await station.boot({ reason: 'PowerUp', chargingStation: { vendorName: 'Peer', model, firmwareVersion: '1.0' } });
  await status(station, 'Available');
  await station.call('Heartbeat', {});

  const known = await station.call('Authorize', { idToken: idToken(KNOWN_TOKEN) });
  const unknown = await station.call('Authorize', { idToken: idToken('NOBODY') });
  say({ step: 'authorized', known: known.idTokenInfo.status, unknown: unknown.idTokenInfo.status });

  say({ step: 'session', ...(await session(station, 1000)) });

  say({ step: 'ready_for_start' });
  const start = await station.expect('RequestStartTransaction');
  const remote = await session(station, 1002, start.remoteStartId, async (transactionId) => {
    say({ step: 'ready_for_profile', transaction: transactionId });
    const { chargingProfile } = await station.expect('SetChargingProfile', (p) => p.chargingProfile.id === 77);
    say({ step: 'ready_for_stop', profile: chargingProfile });
    await station.expect('RequestStopTransaction', (p) => p.transactionId === transactionId);
  });
  say({ step: 'remote_session', token: start.idToken.idToken, ...remote });
  await station.finish();
}
