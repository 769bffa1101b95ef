"""Where diffusers gives the values of feature maps that have another name or form in our texts."""

MODULES = (
    (r"\.attentions\.\d+\.group_norm$", r"\g<0>|grid"),  # it is run on B C N there
    (r"\.attentions\.\d+\.(norm|proj_in|proj_out)$", r"\g<0>|tokens"),
)
ENTERING = (
    (r"(\.transformer_blocks\.\d+)\.norm2$", r"\1.added_1"),
    (r"\.norm3$", ".added_2"),
    (r"\.conv([12])$", r".act\1"),
    (r"\.norm2$", ".told"),
    (r"(^|coder\.)conv_out$", r"\1conv_act"),
    (r"\.upsamplers\.0\.conv$", ".upsamplers.0.repeated"),
)
