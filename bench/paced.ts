/**
 * A fixed rate, open loop: requests are due on a fixed beat, and a latency counts from when its request was due, so
 * a server that stands still for a second is charged for every request of that second. Every so many requests one is
 * a probe: once acknowledged, one of its keys is looked up with `after` set to its cut, and the answer's arrival is
 * when the events were queryable.
 */

import type { GeneratorReport, Order } from './generator-protocol.ts'
import { getHead, HttpConnection, takeConnection } from './http-connection.ts'
import { quantiles } from './quantiles.ts'
import { Sender } from './sender.ts'
import { poolEvent } from './workload.ts'

type PacedOrder = Extract<Order, { kind: 'paced' }>

interface Pace {
  readonly sender: Sender
  readonly idle: HttpConnection[]
  readonly probes: HttpConnection[]
  readonly ackMs: number[]
  readonly queryableMs: number[]
  readonly running: Set<Promise<void>>
  measured: number
  failure: Error | undefined
}

export async function paceServer(order: PacedOrder): Promise<GeneratorReport> {
  const pace: Pace = {
    sender: new Sender(order.workload, order.target.stream, order.firstId),
    idle: Array.from({ length: order.connections }, () => new HttpConnection(order.target.port)),
    probes: [],
    ackMs: [],
    queryableMs: [],
    running: new Set(),
    measured: 0,
    failure: undefined,
  }
  const beatMs = (order.workload.eventsPerRequest / order.eventsPerSecond) * 1000
  const startMs = performance.now() + 20
  const measureFromMs = startMs + order.warmupSeconds * 1000
  const requests = Math.ceil(((order.warmupSeconds + order.seconds) * 1000) / beatMs)
  for (let request = 0; request < requests; request += 1) {
    const dueMs = startMs + request * beatMs
    await waitUntil(dueMs)
    if (pace.failure !== undefined) throw pace.failure
    const probe = order.probeEvery > 0 && request % order.probeEvery === 0
    const fromMs = Math.min(dueMs, performance.now())
    const task = sendOne(order, pace, fromMs, dueMs >= measureFromMs, probe).catch((error: Error) => {
      pace.failure ??= error
    })
    pace.running.add(task)
    void task.then(() => pace.running.delete(task))
  }
  const seconds = (performance.now() - measureFromMs) / 1000
  await Promise.all(pace.running)
  if (pace.failure !== undefined) throw pace.failure
  for (const connection of [...pace.idle, ...pace.probes]) connection.close()
  return {
    seconds,
    done: pace.measured,
    acknowledgeMs: quantiles(pace.ackMs),
    queryableMs: quantiles(pace.queryableMs),
    refused: pace.sender.refused,
    account: pace.sender.account,
  }
}

async function sendOne(
  order: PacedOrder,
  pace: Pace,
  fromMs: number,
  measured: boolean,
  probe: boolean,
): Promise<void> {
  // A connection for every request that is due: an open loop has no upper bound.
  const connection = takeConnection(pace.idle, order.target.port)
  const sent = await pace.sender.send(connection, fromMs)
  pace.idle.push(connection)
  if (measured) {
    pace.ackMs.push(sent.ackMs)
    pace.measured += order.workload.eventsPerRequest
  }
  if (!probe) return
  const { user_id: key } = poolEvent(order.workload, sent.firstEvent)
  const reader = takeConnection(pace.probes, order.target.port)
  const path = `/v1/views/${order.target.view}?user_id=${key}&limit=1&after=${sent.cut}&timeout=60000`
  const answer = await reader.send(getHead(path))
  const queryableMs = performance.now() - fromMs
  pace.probes.push(reader)
  if (answer.status !== 200 || !answer.body.includes(`"${key}"`)) {
    throw new Error(`a probe for "${key}" was answered ${answer.status} ${answer.body.slice(0, 300)}`)
  }
  if (measured) pace.queryableMs.push(queryableMs)
}

/**
 * Timers fire on whole milliseconds: this returns up to one early rather than late. A request that leaves early
 * counts from when it left, one that leaves late from when it was due.
 */
async function waitUntil(dueMs: number): Promise<void> {
  const leftMs = Math.floor(dueMs - performance.now())
  if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs))
}
