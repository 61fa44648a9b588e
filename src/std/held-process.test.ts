/** A child that was made to stand still: it goes on when told to, and dies with its parent although it stands. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const skip = process.platform === 'linux' ? false : 'only on Linux: the state of a process is read from /proc'
const module = fileURLToPath(new URL('./held-process.ts', import.meta.url))

/** A parent that holds a child and prints its number; told `go` it lets it go on. */
const PARENT = `
import { spawn } from 'node:child_process'
import { holdProcess } from ${JSON.stringify(module)}
const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
const held = holdProcess(child.pid, (signal) => child.kill(signal))
const hold = () => { if (!held.stop()) setTimeout(hold, 10); else console.log(child.pid) }
child.on('spawn', hold)
process.stdin.on('data', () => held.go())
`

function state(pid: number): string {
  try {
    return /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? ''
  } catch {
    return 'gone'
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(10)
}

for (const end of ['SIGKILL', 'SIGTERM'] as const) {
  test(`it stands, goes on, and is gone after its parent ended by ${end}`, { skip }, async () => {
    const parent = spawn(process.execPath, ['--input-type=module-typescript', '-e', PARENT], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const pid = await new Promise<number>((resolve) => {
      parent.stdout.once('data', (data: Buffer) => resolve(Number(data.toString().trim())))
    })
    await until(() => state(pid) === 'T')
    parent.stdin.write('go')
    await until(() => state(pid) !== 'T')
    assert.notEqual(state(pid), 'gone')
    parent.kill(end)
    await until(() => state(pid) === 'gone' || state(pid) === 'Z')
  })

  test(`it is gone while it stands, when its parent ends by ${end}`, { skip }, async () => {
    const parent = spawn(process.execPath, ['--input-type=module-typescript', '-e', PARENT], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const pid = await new Promise<number>((resolve) => {
      parent.stdout.once('data', (data: Buffer) => resolve(Number(data.toString().trim())))
    })
    await until(() => state(pid) === 'T')
    parent.kill(end)
    await until(() => state(pid) === 'gone' || state(pid) === 'Z')
  })
}
