#version 330 core
// The light of render/shading.py, term by term: sky, Lambert, Blinn's highlight, two-sided.
// material.emissive_factor carries the flat light, metallic_factor and roughness_factor the
// strength of the highlights and one over their exponent, base_color_factor.a the samples of a pixel that a see-through
// material covers: their bits, and 65536 times the samples along a pixel's side.

struct Material {
    vec3 emissive_factor;
    vec4 base_color_factor;
    float metallic_factor;
    float roughness_factor;
#ifdef HAS_BASE_COLOR_TEX
    sampler2D base_color_texture;
#endif
};
struct DirectionalLight { vec3 color; float intensity; vec3 direction; };
struct PointLight { vec3 color; float intensity; float range; vec3 position; };

uniform Material material;
uniform DirectionalLight directional_lights[MAX_DIRECTIONAL_LIGHTS];
uniform int n_directional_lights;
uniform PointLight point_lights[MAX_POINT_LIGHTS];
uniform int n_point_lights;
uniform vec3 ambient_light;
uniform vec3 cam_pos;

in vec3 world_position;
in vec3 world_normal;
#ifdef TEXCOORD_0_LOC
in vec2 uv;
#endif
#ifdef COLOR_0_LOC
in vec3 own_light;
#endif
out vec4 frag_color;

vec3 decode(vec3 c)
{
    return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(vec3(0.04045), c));
}

vec3 encode(vec3 c)
{
    return mix(c * 12.92, 1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, step(vec3(0.0031308), c));
}

float highlight(vec3 n, vec3 towards, vec3 eye)
{
    return pow(max(dot(n, normalize(towards + eye)), 0.0), 1.0 / material.roughness_factor);
}

void main()
{
    int code = int(material.base_color_factor.a + 0.5);
    int side = code >> 16;
    int row = side - 1 - int(gl_FragCoord.y) % side;  // pictures have row 0 on top
    if (((code >> (row * side + int(gl_FragCoord.x) % side)) & 1) == 0) discard;

    vec3 colour = decode(material.base_color_factor.rgb);
#ifdef HAS_BASE_COLOR_TEX
    vec4 texel = texture(material.base_color_texture, uv);
    if (texel.a < 0.5) discard;
    colour *= decode(texel.rgb);
#endif
#ifdef COLOR_0_LOC
    colour *= own_light;
#endif
    vec3 eye = normalize(cam_pos - world_position);
    // The side that is seen is the front, whatever the winding says.
    vec3 n = normalize(world_normal);
    if (!gl_FrontFacing) n = -n;

    vec3 light = material.emissive_factor + ambient_light * (0.75 + 0.25 * n.y);
    vec3 shine = vec3(0.0);
    for (int i = 0; i < n_directional_lights; i++) {
        vec3 towards = -directional_lights[i].direction;
        float amount = directional_lights[i].intensity * max(dot(n, towards), 0.0);
        light += amount * directional_lights[i].color;
        if (amount > 0.0) shine += directional_lights[i].intensity * highlight(n, towards, eye);
    }
    for (int i = 0; i < n_point_lights; i++) {
        vec3 way = point_lights[i].position - world_position;
        float energy = point_lights[i].intensity / dot(way, way);
        vec3 towards = normalize(way);
        float amount = energy * max(dot(n, towards), 0.0);
        light += amount * point_lights[i].color;
        if (amount > 0.0) shine += energy * highlight(n, towards, eye);
    }
    frag_color = vec4(encode(clamp(colour * light + material.metallic_factor * shine, 0.0, 1.0)), 1.0);
}
