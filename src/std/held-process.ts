/**
 * A child process that can be made to stand still and go on (SIGSTOP, SIGCONT). State: whether it stands, and the
 * watch over it.
 *
 * A stopped process notices nothing, also not that its parent is gone, so it would stay for ever. Before it is stopped
 * for the first time a small shell is started that waits for the end of a pipe from us: when we end, however we end,
 * the pipe closes and the shell kills the child. Where there is no shell or no such signal, nothing is ever stopped.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { Socket } from 'node:net'

export interface HeldProcess {
  /** Whether it could be stopped. */
  stop(): boolean
  go(): void
  /** Lets it go on and ends the watch; to be called when it is no longer to be held, or gone. */
  release(): void
}

/** `kill` sends a signal to the process as long as it is ours. */
export function holdProcess(pid: number, kill: (signal: NodeJS.Signals) => void): HeldProcess {
  let watch: ChildProcess | undefined
  let watching = false
  let stopped = false
  let released = false
  const begin = () => {
    if (process.platform === 'win32') return
    watch = spawn('/bin/sh', ['-c', `trap '' INT TERM HUP; read -r _; kill -9 ${pid}`], {
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    watch.on('spawn', () => {
      watching = true
    })
    watch.on('error', () => {
      watching = false
    })
    watch.stdin?.on('error', () => {})
    watch.on('exit', () => {
      watching = false
      // Without a watch it must not stand still.
      if (stopped) go()
    })
    watch.unref()
    if (watch.stdin instanceof Socket) watch.stdin.unref()
  }
  const go = () => {
    if (!stopped) return
    stopped = false
    kill('SIGCONT')
  }
  return {
    stop() {
      if (released) return false
      if (watch === undefined) begin()
      if (watching && !stopped) {
        stopped = true
        kill('SIGSTOP')
      }
      return stopped
    },
    go,
    release() {
      released = true
      go()
      watch?.kill('SIGKILL')
    },
  }
}
