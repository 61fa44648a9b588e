/**
 * Lookups by key over HTTP, closed loop: each connection asks for a random key, checks that the answer is that key's
 * row, and asks for the next. With a rate given, it asks on a fixed beat instead.
 */

import type { GeneratorReport, Order } from './generator-protocol.ts'
import { getHead, HttpConnection } from './http-connection.ts'
import { quantiles } from './quantiles.ts'

type LookupOrder = Extract<Order, { kind: 'lookups' }>

export async function lookUp(order: LookupOrder): Promise<GeneratorReport> {
  const startMs = performance.now()
  const fromMs = startMs + order.warmupSeconds * 1000
  const untilMs = fromMs + order.seconds * 1000
  const lookupMs: number[] = []
  let issued = 0
  await Promise.all(
    Array.from({ length: order.connections }, async () => {
      const connection = new HttpConnection(order.target.port)
      for (;;) {
        if (order.perSecond > 0) {
          const dueMs = startMs + (issued / order.perSecond) * 1000
          issued += 1
          const leftMs = dueMs - performance.now()
          if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs))
        }
        const sentMs = performance.now()
        if (sentMs >= untilMs) break
        const key = `u${String(Math.floor(Math.random() * order.keys)).padStart(7, '0')}`
        const answer = await connection.send(getHead(`/v1/views/${order.target.view}?user_id=${key}&limit=1`))
        if (answer.status !== 200 || !answer.body.includes(`"${key}"`)) {
          throw new Error(`a lookup of "${key}" was answered ${answer.status} ${answer.body.slice(0, 300)}`)
        }
        if (sentMs >= fromMs) lookupMs.push(performance.now() - sentMs)
      }
      connection.close()
    }),
  )
  return { seconds: order.seconds, done: lookupMs.length, lookupMs: quantiles(lookupMs), refused: 0 }
}
