#version 330 core
// Corners as pyrender binds them; colours are decoded here, as the built-in renderer does.
layout(location = 0) in vec3 position;
layout(location = NORMAL_LOC) in vec3 normal;
#ifdef TEXCOORD_0_LOC
layout(location = TEXCOORD_0_LOC) in vec2 texcoord_0;
out vec2 uv;
#endif
#ifdef COLOR_0_LOC
layout(location = COLOR_0_LOC) in vec4 color_0;
out vec3 own_light;
#endif
layout(location = INST_M_LOC) in mat4 inst_m;

uniform mat4 M;
uniform mat4 V;
uniform mat4 P;

out vec3 world_position;
out vec3 world_normal;

vec3 decode(vec3 c)
{
    return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(vec3(0.04045), c));
}

void main()
{
    vec4 world = M * inst_m * vec4(position, 1.0);
    gl_Position = P * V * world;
    world_position = world.xyz;
    world_normal = normal;  // the mesh is not moved: its corners are in the world already
#ifdef TEXCOORD_0_LOC
    uv = texcoord_0;
#endif
#ifdef COLOR_0_LOC
    own_light = decode(color_0.rgb);
#endif
}
