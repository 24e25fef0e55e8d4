// Appends to a DynamoDB table through Castore's adapter, as bench/castore.go asks on standard input: one JSON line
// {"events": 1 or 3, "count": n} is answered with one JSON line of n latencies in milliseconds.
//
// Castore stores every event as an item of its own. One event is pushEvent: one conditional put. Three events that
// must be there together are EventStore.pushEventGroup, Castore's only way to append several: one transaction of three
// conditional puts. Groups are meant for events of several aggregates; here all three are of one, as in one command.
import { createInterface } from 'node:readline'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb' // keeps connections alive by itself
import { EventStore, EventType } from '@castore/core'
import { DynamoDBSingleTableEventStorageAdapter } from '@castore/event-storage-adapter-dynamodb'

const [endpoint, tableName, payloadBytes] = process.argv.slice(2)
const dynamoDBClient = new DynamoDBClient({
  endpoint, region: 'us-east-1', credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
})
const store = new EventStore({
  eventStoreId: 'CUSTOMERS',
  eventTypes: [new EventType({ type: 'EventTracked' })],
  reducer: (aggregate, event) => ({ ...aggregate, aggregateId: event.aggregateId, version: event.version }),
  eventStorageAdapter: new DynamoDBSingleTableEventStorageAdapter({ tableName, dynamoDBClient }),
})
const payload = { text: 'x'.repeat(Number(payloadBytes)) }
let aggregate = 0

for await (const line of createInterface({ input: process.stdin })) {
  const { events, count } = JSON.parse(line)
  const aggregateId = `0195f4d1-0000-7000-8000-${String(++aggregate).padStart(12, '0')}`
  const latencies = []
  let version = 1
  const event = () => ({ aggregateId, version: version++, type: 'EventTracked', payload, metadata: { actor: 'source:bench' } })
  for (let i = 0; i < count; i++) {
    const details = Array.from({ length: events }, event)
    const began = performance.now()
    if (events === 1) await store.pushEvent(details[0])
    else await EventStore.pushEventGroup(...details.map((detail) => store.groupEvent(detail)))
    latencies.push(performance.now() - began)
  }
  process.stdout.write(JSON.stringify(latencies) + '\n')
}
