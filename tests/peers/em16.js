// A script for em-ocpp-chargepoint-simulator (OCPP 1.6): boot, start, meter, stop. The simulator wraps it in an async function.
const env = process.env;
const url = env.OCPP_ENDPOINT.replace('://', '://' + env.OCPP_IDENTITY + ':' + env.OCPP_PASSWORD + '@') + '/' + env.OCPP_IDENTITY;
const cp = await connect(url, env.OCPP_IDENTITY);
const say = (object) => console.log('PEER ' + JSON.stringify(object));
const accept = (request) => cp.sendResponse(request.uniqueId, { status: 'Accepted' });
cp.answerChangeConfiguration(accept);
cp.answerClearChargingProfile(accept);
cp.registeredCallbacks.set('SetChargingProfile', { cb: accept });
cp.answerGetConfiguration((request) => cp.sendResponse(request.uniqueId, { configurationKey: [], unknownKey: [] }));

const now = () => new Date().toISOString();
const boot = await cp.sendBootnotification({ chargePointVendor: 'EM', chargePointModel: 'Simulator' });
say({ step: 'booted', status: boot.status });
await cp.sendStatusNotification({ connectorId: 0, errorCode: 'NoError', status: 'Available' });
await cp.sendStatusNotification({ connectorId: 1, errorCode: 'NoError', status: 'Preparing' });
const authorized = await cp.sendAuthorize({ idTag: env.KNOWN_TOKEN });
say({ step: 'authorized', status: authorized.idTagInfo.status });
const started = await cp.startTransaction({ connectorId: 1, idTag: env.KNOWN_TOKEN, meterStart: 20, timestamp: now() });
await cp.sendStatusNotification({ connectorId: 1, errorCode: 'NoError', status: 'Charging' });
await cp.meterValues({
  connectorId: 1,
  transactionId: started.transactionId,
  meterValue: [{ timestamp: now(), sampledValue: [{ value: '21', measurand: 'Energy.Active.Import.Register', unit: 'Wh' }] }],
});
await cp.stopTransaction({ transactionId: started.transactionId, meterStop: 22, timestamp: now(), reason: 'Local' });
await cp.sendStatusNotification({ connectorId: 1, errorCode: 'NoError', status: 'Available' });
say({ step: 'done', transaction: started.transactionId, status: started.idTagInfo.status });
cp.close();
setTimeout(() => process.exit(0), 200);
