/**
 * A flood: as many events as the server takes, with as many requests in flight as keep the lag steady. The rate is
 * that of folded events: the view's cut is asked for every 100 ms, and an event counts when that cut covers it. So a
 * server that acknowledges faster than it folds gains nothing. Half of the lag wanted, or less: another connection
 * joins; more than wanted: one rests.
 */

import type { GeneratorReport, Order } from './generator-protocol.ts'
import { getHead, HttpConnection } from './http-connection.ts'
import { quantiles } from './quantiles.ts'
import { Sender } from './sender.ts'

type FloodOrder = Extract<Order, { kind: 'flood' }>

interface Flood {
  readonly sender: Sender
  readonly ackMs: number[]
  readonly lags: number[]
  /** Folded events and when that was known, from the first to the last sample of the measured time. */
  readonly samples: { readonly atMs: number; readonly folded: number }[]
  active: number
  measuring: boolean
  over: boolean
}

export async function floodServer(order: FloodOrder): Promise<GeneratorReport> {
  const sender = new Sender(order.workload, order.target.stream, order.firstId)
  const flood: Flood = {
    sender,
    ackMs: [],
    lags: [],
    samples: [],
    active: Math.min(4, order.connections),
    measuring: false,
    over: false,
  }
  const workers = Array.from({ length: order.connections }, (_, index) => work(order, flood, index))
  await Promise.all([watch(order, flood), ...workers])
  const first = flood.samples[0] ?? { atMs: 0, folded: 0 }
  const last = flood.samples.at(-1) ?? first
  const third = Math.max(1, Math.floor(flood.lags.length / 3))
  return {
    seconds: (last.atMs - first.atMs) / 1000,
    done: last.folded - first.folded,
    acknowledgeMs: quantiles(flood.ackMs),
    lagEvents: quantiles(flood.lags),
    lagGrowth: mean(flood.lags.slice(-third)) / Math.max(1, mean(flood.lags.slice(0, third))),
    refused: sender.refused,
    account: sender.account,
  }
}

async function work(order: FloodOrder, flood: Flood, index: number): Promise<void> {
  let connection = new HttpConnection(order.target.port)
  while (!flood.over) {
    if (!connection.alive) connection = new HttpConnection(order.target.port)
    if (index >= flood.active) {
      await pause(10)
      continue
    }
    const sent = await flood.sender.send(connection)
    if (flood.measuring) flood.ackMs.push(sent.ackMs)
    if (order.events !== undefined && flood.sender.acknowledgedEvents >= order.events) flood.over = true
  }
  connection.close()
}

async function watch(order: FloodOrder, flood: Flood): Promise<void> {
  const connection = new HttpConnection(order.target.port)
  let folded = 0
  let endMs = Number.POSITIVE_INFINITY
  while (!flood.over) {
    folded += flood.sender.folded(await viewCut(connection, order.target.view))
    const atMs = performance.now()
    if (!flood.measuring && flood.sender.acknowledgedEvents >= order.warmupEvents) {
      flood.measuring = true
      endMs = order.seconds === undefined ? endMs : atMs + order.seconds * 1000
    }
    if (flood.measuring) {
      flood.samples.push({ atMs, folded })
      flood.lags.push(flood.sender.lagEvents)
    }
    if (atMs >= endMs) flood.over = true
    const lag = flood.sender.lagEvents
    if (lag > order.lagEvents) flood.active = Math.max(1, flood.active - 1)
    else if (lag < order.lagEvents / 2) flood.active = Math.min(order.connections, flood.active + 1)
    await pause(100)
  }
  connection.close()
}

/** The cut at which the view answers now; one row is asked for, which any key gives. */
export async function viewCut(connection: HttpConnection, view: string): Promise<number> {
  const answer = await connection.send(getHead(`/v1/views/${view}?user_id=u0000000&limit=1`))
  if (answer.status !== 200)
    throw new Error(`view "${view}" answered ${answer.status} ${answer.body.slice(0, 300)}`)
  return (JSON.parse(answer.body) as { cut: number }).cut
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
