import { lacking, LONG_MS, type Lab } from '../lab.ts';
import { Broken, NODE, Unjudged, type ContractPromise } from '../promise.ts';
import type { Writers } from '../writers.ts';

/** Reads only. */
export const maintenancePromises: readonly ContractPromise[] = [
  {
    id: 'maintenance-refuses-writes',
    says: "EnterMaintenance refuses clients' writes, with an error that says so.",
    roles: NODE,
    needs: ['writer'],
    async check(lab) {
      return await inMaintenance(lab, async (writer) => {
        const { refused } = writer;
        if (!(await lab.becomes(() => writer.refused > refused || writer.isGone()))) {
          throw new Broken('the writer is not refused');
        }
        if (writer.isGone()) throw new Unjudged(`the writer ended: ${writer.complaint()}`);
        const before = await lab.rows().catch(() => {
          throw new Unjudged('it cannot be read in maintenance');
        });
        await lab.hold();
        const since = lacking(await lab.rows(), before);
        if (since !== null) throw new Broken(`rows written in maintenance: ${since}`);
        return `${writer.refused - refused} writes were refused, none done`;
      });
    },
  },
  {
    id: 'maintenance-reads-go-on',
    says: 'EnterMaintenance: reads go on. Writes acknowledged before stay.',
    roles: NODE,
    needs: ['writer'],
    async check(lab) {
      return await inMaintenance(lab, async (_writer, acknowledged) => {
        const rows = await lab.rows().catch((error: unknown) => {
          throw new Broken(error instanceof Error ? error.message : String(error));
        });
        const missing = lacking(acknowledged, rows);
        if (missing !== null) throw new Broken(`acknowledged before, and gone: ${missing}`);
        return `${rows.size} rows were read`;
      });
    },
  },
  {
    id: 'maintenance-leaves',
    says: 'LeaveMaintenance: writes are taken again.',
    roles: NODE,
    needs: ['writer'],
    async check(lab) {
      await inMaintenance(lab, () => lab.hold());
      if (await lab.progress()) return 'writes are acknowledged again';
      throw new Broken('no write is acknowledged after LeaveMaintenance');
    },
  },
];

async function inMaintenance<T>(
  lab: Lab,
  body: (writer: Writers, acknowledged: ReadonlySet<number>) => Promise<T>,
): Promise<T> {
  const { participant } = lab;
  const writer = await lab.busyWriter();
  const acknowledged = new Set(writer.acknowledged);
  const { operation } = lab.attempt();
  await participant.enterMaintenance({ operation, leaseMs: LONG_MS });
  const [outcome] = await Promise.allSettled([body(writer, acknowledged)]);
  const { held } = await participant.leaveMaintenance({ operation });
  if (!held) throw new Unjudged('it says that it was not in maintenance');
  if (outcome.status === 'rejected') throw outcome.reason;
  return outcome.value;
}
