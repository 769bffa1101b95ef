"""The names that transformers has for the parts of a CLIP's image tower, behind `visual.`."""

TOWER = (
    (r"^visual\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^visual\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^visual\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^visual\.embeddings\.position_ids$", "|drop"),
    (r"^visual\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^visual\.post_layernorm\.", "visual.ln_post."),
    (r"^visual\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"^(visual\..*)\.layer_norm([12])\.", r"\1.ln_\2."),
    (r"^(visual\..*)\.self_attn\.out_proj\.", r"\1.attn.out_proj."),
    (r"^(visual\..*)\.self_attn\.([qkv])_proj\.(weight|bias)$", r"\1.attn.in_proj_\3|\2"),
    (r"^(visual\..*)\.self_attn\.$", r"\1.attn."),
    (r"^(visual\..*)\.mlp\.fc1\.", r"\1.mlp.c_fc."),
    (r"^(visual\..*)\.mlp\.fc2\.", r"\1.mlp.c_proj."),
    (r"^(visual\..*)\.mlp\.activation_fn\.$", r"\1.mlp.activation."),
)
MODULES = ((r"^visual\.conv1$", "visual.patches|grid"),)
ENTERING = (
    (r"^visual\.ln_pre$", "visual.tokens"),
    (r"\.ln_2$", ".middle"),
    (r"\.mlp\.down$", ".mlp.gated"),
)
