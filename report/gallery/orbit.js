// Turning a camera about the origin: azimuth and elevation as in conventions.py.

const STEP_DEG = 7.5, NEAREST = 1.2, FARTHEST = 6;

export class Orbit {
  constructor(canvas, camera, changed) {
    Object.assign(this, { canvas, camera, changed, azimuth: 35, elevation: 25, distance: 3.2, fingers: new Map() });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, event);
    });
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.fingers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY / 800));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
    this.place();
  }

  /** One finger turns, two come closer or go back. */
  move(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    this.fingers.set(event.pointerId, event);
    if (this.fingers.size === 1) {
      this.turn((event.clientX - before.clientX) * 0.5, (event.clientY - before.clientY) * 0.5);
    } else {
      const other = [...this.fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
      const apart = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
      this.zoom(apart(before) / Math.max(apart(event), 1));
    }
  }

  key(event) {
    const turns = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (turns) this.turn(turns[0] * STEP_DEG, turns[1] * STEP_DEG);
    else if (event.key === "+" || event.key === "=") this.zoom(0.9);
    else if (event.key === "-") this.zoom(1.1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Turn the shape as a hand would: what is in front follows the pointer. */
  turn(across, down) {
    this.look(this.azimuth - across, this.elevation + down);
  }

  zoom(factor) {
    this.distance = Math.min(FARTHEST, Math.max(NEAREST, this.distance * factor));
    this.place();
  }

  look(azimuth, elevation) {
    this.azimuth = ((azimuth % 360) + 360) % 360;
    this.elevation = Math.min(89, Math.max(-89, elevation));
    this.place();
  }

  /** Azimuth 0 stands at -Z and grows counter-clockwise seen from above: look_at_origin of pipeline/camera.py. */
  place() {
    const a = this.azimuth * Math.PI / 180, e = this.elevation * Math.PI / 180;
    this.camera.position.set(-Math.sin(a) * Math.cos(e), Math.sin(e), -Math.cos(a) * Math.cos(e)).multiplyScalar(this.distance);
    this.camera.lookAt(0, 0, 0);
    this.changed();
  }
}
