// ocpp-rpc, strict, that answers and stores nothing: the quickest peer we know. `node rpc_server.mjs PORT`
import { RPCServer } from 'ocpp-rpc';

const server = new RPCServer({ protocols: ['ocpp1.6'], strictMode: true, wssOptions: { perMessageDeflate: false } });
const now = () => new Date().toISOString();

server.on('client', (client) => {
  client.handle('BootNotification', () => ({ status: 'Accepted', interval: 300, currentTime: now() }));
  client.handle('Heartbeat', () => ({ currentTime: now() }));
  client.handle('StatusNotification', () => ({}));
  client.handle('MeterValues', () => ({}));
});

await server.listen(Number(process.argv[2]), '127.0.0.1');
