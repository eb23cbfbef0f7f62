// A device with MQTT.js: connects, publishes at each QoS, takes one command and answers it.
//     node mqttjs.js FOLDER-OF-NODE_MODULES URL 4|5 CA.pem TOKEN | … CERT.pem KEY.pem
const fs = require('fs')
const [folder, url, version, ca, ...credential] = process.argv.slice(2)
const mqtt = require(require.resolve('mqtt', { paths: [folder] }))

const options = { protocolVersion: Number(version), ca: fs.readFileSync(ca), reconnectPeriod: 0, clientId: 'mqtt-js' }
if (credential.length === 2) {
  options.cert = fs.readFileSync(credential[0])
  options.key = fs.readFileSync(credential[1])
} else {
  options.username = credential[0]
}

function fail(why) {
  console.error('mqtt.js: ' + why)
  process.exit(1)
}
setTimeout(() => fail('nothing for half a minute'), 30000).unref()

async function main() {
  const client = await mqtt.connectAsync(url, options)
  client.on('error', (e) => fail(e.message))
  for (const qos of [0, 1, 2]) {
    await client.publishAsync('v1/devices/me/telemetry', JSON.stringify({ [`mqtt_js_${version}_qos_${qos}`]: 1 }), { qos })
  }
  const command = new Promise((resolve) => client.on('message', (topic, payload) => resolve([topic, payload.toString()])))
  await client.subscribeAsync('v1/devices/me/rpc/request/+', { qos: 1 })
  const [topic, payload] = await command
  console.log(payload)
  await client.publishAsync('v1/devices/me/rpc/response/' + topic.split('/').pop(), '{"by":"mqtt.js"}', { qos: 1 })
  await client.endAsync()
}
main().catch((e) => fail(e.message))
