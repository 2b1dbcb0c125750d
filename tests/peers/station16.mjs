// An OCPP 1.6 station: boot, authorize, a session at the station, a session from remote. Section numbers are OCPP 1.6's.
import { KNOWN_TOKEN, Station, now, pause, say, statusOfWrongPassword, tell } from './station.mjs';

const accepted = () => ({ status: 'Accepted' });
const options = { protocols: ['ocpp1.6'] };

const replies = {
  RemoteStartTransaction: accepted,
  RemoteStopTransaction: accepted,
  SetChargingProfile: accepted,
  ClearChargingProfile: accepted,
  ChangeConfiguration: accepted,
  GetConfiguration: ({ key }) => ({ configurationKey: [], unknownKey: key ?? [] }),
  GetCompositeSchedule: () => ({ status: 'Rejected' }),
  TriggerMessage: () => ({ status: 'NotImplemented' }),
  Reset: () => ({ status: 'Rejected' }),
};

const sampled = (value, measurand, unit) => ({ value, measurand, unit, context: 'Sample.Periodic' });

const status = (station, connectorId, value) =>
  station.call('StatusNotification', { connectorId, errorCode: 'NoError', status: value, timestamp: now() });

// Ten samples, 7.2 kW for 100 ms each: 0.2 Wh a sample.
async function meter(station, transactionId, startWh) {
  for (let sample = 1; sample <= 10; sample += 1) {
    await pause(100);
    await station.call('MeterValues', {
      connectorId: 1,
      transactionId,
      meterValue: [
        {
          timestamp: now(),
          sampledValue: [
            sampled((startWh + sample * 0.2).toFixed(1), 'Energy.Active.Import.Register', 'Wh'),
            sampled('7200', 'Power.Active.Import', 'W'),
          ],
        },
      ],
    });
  }
}

// §4.8 StartTransaction … §4.10 StopTransaction.
async function session(station, meterStart, reason, whileCharging = async () => {}) {
  await status(station, 1, 'Preparing');
  const { transactionId, idTagInfo } = await station.call('StartTransaction', {
    connectorId: 1,
    idTag: KNOWN_TOKEN,
    meterStart,
    timestamp: now(),
  });
  await status(station, 1, 'Charging');
  await meter(station, transactionId, meterStart);
  await whileCharging(transactionId);
  const stopped = await station.call('StopTransaction', {
    transactionId,
    idTag: KNOWN_TOKEN,
    meterStop: meterStart + 2,
    timestamp: now(),
    reason,
  });
  await status(station, 1, 'Finishing');
  await status(station, 1, 'Available');
  return { transaction: transactionId, start_status: idTagInfo.status, stop_answer: stopped };
}

tell(async () => {
  say({ step: 'refused', http_status: await statusOfWrongPassword(options) });
  const station = new Station(options, replies);
  await station.client.connect();
  await station.boot({ chargePointVendor: 'Peer', chargePointModel: 'P16', firmwareVersion: '1.0' });
  await status(station, 0, 'Available');
  await status(station, 1, 'Available');
  await station.call('Heartbeat', {});

  const known = await station.call('Authorize', { idTag: KNOWN_TOKEN });
  const unknown = await station.call('Authorize', { idTag: 'NOBODY' });
  say({ step: 'authorized', known: known.idTagInfo.status, unknown: unknown.idTagInfo.status });

  say({ step: 'session', ...(await session(station, 1000, 'Local')) });

  say({ step: 'ready_for_start' });
  const start = await station.expect('RemoteStartTransaction');
  const remote = await session(station, 1002, 'Remote', async (transactionId) => {
    say({ step: 'ready_for_profile', transaction: transactionId });
    const { csChargingProfiles } = await station.expect('SetChargingProfile', (p) => p.csChargingProfiles.chargingProfileId === 77);
    say({ step: 'ready_for_stop', profile: csChargingProfiles });
    await station.expect('RemoteStopTransaction', (p) => p.transactionId === transactionId);
  });
  say({ step: 'remote_session', token: start.idTag, ...remote });
  await station.finish();
});
